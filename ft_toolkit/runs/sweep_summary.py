"""The results of a sweep: its trials, the best of them with its test score, the importance of each setting, and best.yaml."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_toolkit.core.files import write_file
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.run_folder import BEST_RECIPE, PREDICTIONS, RESULTS
from ft_toolkit.core.run_records import read_environment, read_run_results, write_environment, write_results
from ft_toolkit.core.run_scores import SplitScores
from ft_toolkit.core.sweep_records import SweepBest, SweepResults, SweepTrial, SweptSetting, write_sweep
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.baselines import predict_baselines
from ft_toolkit.evaluation.compare.examples import read_examples, write_examples
from ft_toolkit.evaluation.scoring import Decoded, score_split, scoring_setup
from ft_toolkit.evaluation.statistics.selection_bias import add_right, selection_bias
from ft_toolkit.evaluation.statistics.shares import right_examples
from ft_toolkit.inference.device import inference_device
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.saved_task import load_saved_task
from ft_toolkit.report import results as results_file
from ft_toolkit.report import write_report
from ft_toolkit.report.sweep import write_sweep_page
from ft_toolkit.runs.search_space import Dimension, Range
from ft_toolkit.training.prepare import prepare
from ft_toolkit.training.tracking import Display

if TYPE_CHECKING:
    import optuna

# The importance of the settings requires this number of finished trials.
_MINIMUM_TRIALS = 5


@dataclass(frozen=True)
class SweepFacts:
    """The facts about a sweep for its results. `loaded` is the recipe with the first value of each varied setting."""

    folder: Path
    name: str
    command: str
    loaded: LoadedRecipe
    metric: str
    greater_is_better: bool
    trials: int
    pruner: str
    space: Sequence[Dimension]


def trial_folder(folder: Path, number: int) -> Path:
    """Return the run folder of a trial."""
    return folder / f"trial_{number}"


def summarize(facts: SweepFacts, study: "optuna.Study") -> SweepResults:
    """Return the results of the trials so far."""
    from optuna.trial import TrialState

    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.WAITING]
    records = [_trial(trial, facts) for trial in trials]
    finished = [record for record in records if record.state == "finished"]
    is_complete = len(records) >= facts.trials and all(record.state != "unfinished" for record in records)
    best = _best(finished, facts)
    return SweepResults(
        name=facts.name,
        command=facts.command,
        task=facts.loaded.task.name,
        model=facts.loaded.recipe.model.title,
        metric=facts.metric,
        greater_is_better=facts.greater_is_better,
        planned_trials=facts.trials,
        pruner=facts.pruner,
        space=[_setting(dimension) for dimension in facts.space],
        trials=records,
        validation_rows=None if best is None else read_run_results(facts.folder / best.folder).scores["validation"].n,
        best=best,
        importance=_importance(study) if len(finished) >= _MINIMUM_TRIALS else {},
        complete=is_complete,
    )


def _trial(trial: "optuna.trial.FrozenTrial", facts: SweepFacts) -> SweepTrial:
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    scores = list(trial.intermediate_values.values())
    best_score = (max if facts.greater_is_better else min)(scores, default=None)
    return SweepTrial.model_validate(
        {
            "number": trial.number,
            "state": states.get(trial.state, "unfinished"),
            "folder": trial_folder(facts.folder, trial.number).name,
            "settings": dict(trial.params),
            "value": trial.value if trial.state is TrialState.COMPLETE else best_score,
            "evaluations": len(scores),
            "reason": trial.user_attrs.get("reason"),
            "seconds": None if trial.duration is None else round(trial.duration.total_seconds(), 1),
        }
    )


def _setting(dimension: Dimension) -> SweptSetting:
    if isinstance(dimension, Range):
        return SweptSetting(
            key=dimension.key, low=dimension.low, high=dimension.high, log=dimension.log, integer=dimension.integer
        )
    return SweptSetting(key=dimension.key, values=list(dimension.values))


def _best(finished: Sequence[SweepTrial], facts: SweepFacts) -> SweepBest | None:
    """Return the best finished trial (the first of equal ones), with its test score if it has been computed."""
    scored = [(trial, trial.value) for trial in finished if trial.value is not None]
    if not scored:
        return None
    best, value = (max if facts.greater_is_better else min)(scored, key=lambda pair: pair[1])
    results = read_run_results(facts.folder / best.folder)
    test = results.scores.get("test")
    return SweepBest(
        trial=best.number,
        folder=best.folder,
        value=value,
        selection_bias=selection_bias_of([facts.folder / trial.folder for trial, _ in scored], facts.metric),
        test=None if test is None else test.metrics[results.main_metric],
        test_rows=None if test is None else test.n,
    )


def selection_bias_of(folders: Sequence[Path], metric_name: str) -> float | None:
    """Return the expected excess of the best validation score of several runs; None if it is unknown.

    As for the checkpoints of a run, it is known for a share of right examples on independent rows.
    """
    counts: list[int] | None = None
    best = 1.0
    for folder in folders:
        examples = read_examples(folder, "validation")
        metric = examples.metrics.get(metric_name)
        if metric is None or examples.clusters is not None:
            return None
        right = right_examples(metric, examples.predictions, examples.references)
        if right is None:
            return None
        counts, best = add_right(counts, right), metric.best
    bias = None if counts is None else selection_bias(counts, len(folders))
    return None if bias is None else bias * best


def _importance(study: "optuna.Study") -> dict[str, float]:
    """Return the share of each setting in the difference between the best trials and all trials (PED-ANOVA).

    Watanabe, Bansal and Hutter 2023, arXiv:2304.10255. Empty if all trials have the same score.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 2:
        return {}
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def finish_sweep(
    facts: SweepFacts, results: SweepResults, load: Callable[[Mapping[str, Any]], LoadedRecipe], display: Display
) -> SweepResults:
    """Write best.yaml, score the best trial on the test rows unless that was done before, and return the final results.

    `load` returns the recipe of a trial.
    """
    best = results.best
    if best is None:
        return results
    settings = next(trial.settings for trial in results.trials if trial.number == best.trial)
    loaded = load(settings)
    path = facts.folder / BEST_RECIPE
    header = f"# Trial {best.trial} of {facts.name}, the best of {len(results.trials)}.    ftk run {path}\n"
    write_file(path, header + loaded.to_yaml())
    if best.test is not None:
        return results
    display.say(f"scoring the best trial on the test rows: {best.folder}")
    scores = add_test_scores(facts.folder / best.folder, loaded, display)
    if scores is None:
        return results
    main = read_run_results(facts.folder / best.folder).main_metric
    update = {"test": scores.metrics[main], "test_rows": scores.n}
    return results.model_copy(update={"best": best.model_copy(update=update)})


def add_test_scores(folder: Path, loaded: LoadedRecipe, display: Display) -> SplitScores | None:
    """Add the scores on the test rows to a finished run that has none; None if the recipe has no test rows.

    The run folder then has the same files as after a run with test rows; results.json is written last.
    """
    results = read_run_results(folder)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(loaded, work_folder=Path(scratch))
    if "test" not in prepared.data.splits:
        return None
    saved = load_saved_task(folder / RESULTS, results.task, results.task_settings, results.task_schema)
    prepared = replace(prepared, schema=saved.schema)
    splits: list[SplitName] = ["validation", "test"]
    validation = [record for record in read_objects(folder / PREDICTIONS) if record["split"] == "validation"]
    test, _ = LoadedModel(str(folder)).predict_split(prepared.data.splits["test"])
    decoded: dict[SplitName, Decoded] = {"validation": validation, "test": test}
    processes = inference_device(prepared.recipe.training.mixed_precision)
    baselines = predict_baselines(prepared, splits, processes, display)
    setup = scoring_setup(prepared)
    scored = {
        split: score_split(
            decoded[split],
            prepared.data.splits[split],
            replace(setup, clusters=prepared.data.clusters(split)),
            baselines.predictions[split],
            fitted_here=split == "validation",
        )
        for split in splits
    }
    results_file.write_predictions(folder / PREDICTIONS, prepared.data, prepared.task, prepared.schema, decoded)
    arrays = {split: (each.predictions, each.references) for split, each in scored.items()}
    write_examples(folder, arrays, {split: prepared.data.clusters(split) for split in splits})
    source = read_environment(folder)
    fingerprint = source.data.model_copy(update={"fingerprint": prepared.data.fingerprint})
    write_environment(folder, source.model_copy(update={"data": fingerprint}))
    records = {split: each.record for split, each in scored.items()}
    assert results.reload_proof is not None, "every run has a reload check"
    training, command = results.training.as_json(), results.command or ""
    complete = results_file.run_results(
        results.name, prepared, records, training, baselines.facts, results.reload_proof, command
    )
    write_report(folder, complete)
    write_results(folder, complete)
    return complete.scores["test"]


def write_summary(folder: Path, results: SweepResults) -> None:
    """Write sweep.json and sweep.html."""
    write_sweep_page(folder, results)
    write_sweep(folder, results)
