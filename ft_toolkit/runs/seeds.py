"""Run a recipe: once, or once per seed with a summary over the seeds."""

import math
import shlex
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.console import Console

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.output import patient_output
from ft_toolkit.core.run_folder import MODEL, resume_command, without_execution
from ft_toolkit.core.run_records import (
    BestSeed,
    DataFacts,
    RunResults,
    SeedRun,
    SeedScores,
    SeedSpread,
    SeedsResults,
    read_results,
    read_run_results,
    write_results,
)
from ft_toolkit.core.run_scores import MetricScore, says_nothing
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.hub import push as hub
from ft_toolkit.hub.access import check_recipe
from ft_toolkit.metrics.student_t import t_quantile
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report.console import print_results
from ft_toolkit.report.seeds import write_seeds_report
from ft_toolkit.runs.executors import Execution
from ft_toolkit.runs.multi_run import ChildRun, run_all
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.runs.setup import claimed_folder
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.tracking import Display


def run_recipe(
    loaded: LoadedRecipe,
    *,
    output: Path | None,
    resume: bool,
    smoke: bool,
    command: str,
    console: Console,
    verbosity: Verbosity = Verbosity.NORMAL,
    execution: Execution | None = None,
) -> dict[str, Any]:
    """Train, evaluate and document a recipe, once for each of its seeds. `execution` names the executor of the seeds.

    Returns the content of results.json and the run folder as `folder`; processes other than the main process return an empty
    dict. Raises UsageError before anything is trained, NotFiniteError, ReloadError, HubError once the run folder is complete,
    LostProcessError, or Interrupted with a checkpoint saved.

        loaded = ft_toolkit.load_recipe(Path("recipes/demo.yaml"), [], ft_toolkit.find_tasks())
        ft_toolkit.run_recipe(
            loaded, output=None, resume=False, smoke=False, command="ftk run demo", console=rich.console.Console()
        )
    """
    options = RunOptions(output, resume, smoke, command, console, verbosity, execution or Execution())
    with patient_output(), processes.joined() as distributed:
        return _run_recipe(distributed, loaded, options)


def _run_recipe(distributed: PartialState, loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    """Run a recipe in joined processes: check the Hub, run each seed, print the scores, push to the Hub."""
    display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
    pushes = loaded.recipe.hub.push and not options.smoke
    if pushes:
        processes.on_main_process(distributed, lambda: check_recipe(loaded, display.say))
    elif loaded.recipe.hub.push:
        display.warn("note: a smoke run is not pushed to the Hub")
    results = run(loaded, options) if loaded.recipe.training.seeds is None else _run_seeds(distributed, loaded, options)
    if results and options.verbosity >= Verbosity.QUIET:
        print_results(results, options.console)
    if results and pushes:
        hub.push_finished(loaded, Path(results["folder"]), display.say)
    return results


def _run_seeds(distributed: PartialState, loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    """Run each seed in a separate folder, and write the summary on the main process; return its content there."""
    command = options.command
    with claimed_folder(distributed, loaded.name, options) as folder:
        children = []
        for seed in loaded.recipe.training.seeds or []:
            seed_folder = folder / f"seed_{seed}"
            seed_command = _command_for_seed(command, seed, seed_folder)
            children.append(ChildRun(f"seed {seed}", _with_seed(loaded, seed), seed_folder, seed_command))
        run_all(children, options, folder, noun="seeds", resume_with=resume_command(command, folder))
        if not distributed.is_main_process:
            return {}
        results = summarize(loaded, folder, command)
        write_seeds_report(folder, results)
        write_results(folder, results)
    return {**read_results(folder).as_json(), "folder": str(folder)}


def _with_seed(loaded: LoadedRecipe, seed: int) -> LoadedRecipe:
    """Return the recipe with a single seed."""
    training = loaded.recipe.training.model_copy(update={"seed": seed, "seeds": None})
    recipe = loaded.recipe.model_copy(update={"training": training})
    return replace(loaded, name=f"{loaded.name}_seed_{seed}", recipe=recipe)


def summarize(loaded: LoadedRecipe, folder: Path, command: str) -> SeedsResults:
    """Return the results of a multi-seed run from the results of its seeds.

    Raises ResumeError when the seeds were trained on different rows.
    """
    seeds = loaded.recipe.training.seeds or []
    runs = {seed: read_run_results(folder / f"seed_{seed}") for seed in seeds}
    first = runs[seeds[0]]
    if len({run.data.fingerprint for run in runs.values()}) > 1:
        raise ResumeError(
            f"{folder}: the seeds were trained on different rows. Restore the rows, or start a new run in another folder"
        )
    metric = loaded.recipe.evaluation.metric_for_best_model or first.main_metric
    if all(
        says_nothing(selection_score(run, metric), greater_is_better=run.prefers_higher(metric))
        for run in runs.values()
    ):
        metric = "loss"
    best, score = _best_seed(runs, metric)
    return SeedsResults(
        name=loaded.name,
        command=command,
        task=first.task,
        pipeline_tag=first.pipeline_tag,
        model=first.model,
        method=first.method,
        main_metric=first.main_metric,
        greater_is_better=first.greater_is_better,
        lower_is_better=first.lower_is_better,
        substitutions=first.substitutions,
        data=DataFacts(
            card=first.data.card, title=first.data.title, hub=first.data.hub, fingerprint=first.data.fingerprint
        ),
        seeds=list(seeds),
        best=BestSeed(
            seed=best,
            folder=f"seed_{best}",
            model=f"seed_{best}/{MODEL}",
            chosen_by=f"validation {metric}",
            value=score,
        ),
        scores={split: _split_spread(runs, split) for split in first.scores},
        runs=[_seed_run(seed, run, metric) for seed, run in runs.items()],
        seconds=round(sum(run.training.seconds for run in runs.values()), 2),
    )


def _best_seed(runs: Mapping[int, RunResults], metric: str) -> tuple[int, float | None]:
    """Return the seed with the best validation score or lowest loss, and this score; the first seed when none is defined."""
    scores = {seed: selection_score(run, metric) for seed, run in runs.items()}
    defined = {seed: score for seed, score in scores.items() if score is not None}
    if not defined:
        return next(iter(runs)), None
    greater_is_better = next(iter(runs.values())).prefers_higher(metric)
    best = (max if greater_is_better else min)(defined, key=lambda seed: defined[seed])
    return best, defined[best]


def _seed_run(seed: int, run: RunResults, metric: str) -> SeedRun:
    values = {
        "seed": seed,
        "folder": f"seed_{seed}",
        "steps": run.training.steps,
        "best_step": run.training.best_step,
        f"validation {metric}": selection_score(run, metric),
        "seconds": run.training.seconds,
        # the peak of the process so far, which includes earlier seeds in the same process
        "process_peak_memory_mib": run.training.peak_memory_mib,
    }
    return SeedRun.model_validate(values)


def selection_score(results: RunResults, metric: str) -> float | None:
    """Return the validation score of a run, or its loss, by which its best checkpoint was selected."""
    if metric != "loss":
        return results.scores["validation"].metrics[metric].value
    training = results.training
    losses = [record.validation_loss for record in training.evaluations if record.step == training.best_step]
    return losses[-1] if losses else None


def _split_spread(runs: Mapping[int, RunResults], split: str) -> SeedScores:
    scores = {str(seed): run.scores[split] for seed, run in runs.items()}
    first = next(iter(scores.values()))
    metrics = {}
    for name in first.metrics:
        values = {seed: seed_scores.metrics[name] for seed, seed_scores in scores.items()}
        metrics[name] = spread(values)
    return SeedScores(n=first.n, metrics=metrics)


def spread(scores: Mapping[str, MetricScore]) -> SeedSpread:
    """Return mean, sample standard deviation, minimum, maximum and n of the defined scores.

    The 95% interval of the mean uses Student's t distribution (Student 1908). Interval and standard deviation are None for
    fewer than two scores; the interval is also None for equal scores.
    """
    defined = [score.value for score in scores.values() if score.value is not None]
    mean = statistics.fmean(defined) if defined else None
    sd = statistics.stdev(defined) if len(defined) > 1 else None
    half = t_quantile(0.975, len(defined) - 1) * sd / math.sqrt(len(defined)) if sd else None
    return SeedSpread(
        mean=mean,
        mean_low=None if mean is None or half is None else mean - half,
        mean_high=None if mean is None or half is None else mean + half,
        sd=sd,
        min=min(defined, default=None),
        max=max(defined, default=None),
        n=len(defined),
        values=dict(scores),
    )


def _command_for_seed(command: str, seed: int, folder: Path) -> str:
    """Return the command that repeats the run of one seed."""
    words = [word for word in without_execution(command) if not word.startswith("training.seed")]
    return shlex.join([*words, f"training.seed={seed}", "--output", str(folder)])
