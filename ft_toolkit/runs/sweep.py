"""`ftk sweep`: search for good settings with Optuna. Any number of processes that share the folder may work on one sweep.

The folder of a sweep has `journal.log` (Optuna's journal: the trials and their scores), a run folder per trial, and the lock of
each trial. A process holds the lock while it computes the trial. The operating system releases the lock when the process ends,
so a trial that is running in the journal and has no lock was interrupted: another process resumes it from its checkpoint.
"""

import os
import shlex
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from rich.console import Console

from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import FtkError, Interrupted, NotFiniteError, ReloadError, UsageError
from ft_toolkit.core.locks import lock, try_lock
from ft_toolkit.core.output import patient_output
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import CHECKPOINTS, LOGS, SWEEP_JOURNAL, check_sweep_folder, without_folder
from ft_toolkit.core.run_records import read_run_results
from ft_toolkit.core.storage import StorageErrors
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.report.sweep import print_sweep
from ft_toolkit.runs.action import Action
from ft_toolkit.runs.executors.base import Job
from ft_toolkit.runs.executors.run_jobs import run_jobs
from ft_toolkit.runs.multi_run import ChildRun, action_of
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.runs.search_space import Dimension, all_combinations, as_text, split_words
from ft_toolkit.runs.seeds import selection_score
from ft_toolkit.runs.sweep_summary import SweepFacts, finish_sweep, summarize, trial_folder, write_summary
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.checkpoint_files import last_step
from ft_toolkit.training.tracking import Display

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "halving", "none"]
_STUDY = "sweep"
# Number of trials that are never pruned: the median of fewer scores is not reliable.
_FULL_TRIALS = 4
# A trial whose process died this often without a new checkpoint, for example because the memory ran out, counts as failed.
_STARTS = 3


class PrunedError(Exception):
    """The trial is worse than the others after as many evaluations."""


@dataclass(frozen=True)
class SweepRequest:
    """The arguments of `ftk sweep`. `recipe` is the recipe as named on the command line, `words` are the settings."""

    recipe: str
    path: Path
    words: tuple[str, ...]
    trials: int
    pruner: Pruner

    @property
    def space(self) -> list[Dimension]:
        """The settings to vary. Raises UsageError."""
        return split_words(self.words)[0]

    @property
    def planned_trials(self) -> int:
        """The number of trials: as many as there are combinations of lists if that is fewer, so that none is repeated."""
        combinations = all_combinations(self.space, self.trials)
        return self.trials if combinations is None else len(combinations)

    def load(self, values: Mapping[str, Any]) -> LoadedRecipe:
        """Return the recipe of a trial with these values of the varied settings. Raises RecipeError."""
        return load_recipe(self.path, self.settings(values), find_tasks())

    def settings(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a trial, without upload, and without a published result, which belongs to other settings."""
        varied = [f"{key}={as_text(value)}" for key, value in values.items()]
        return [*split_words(self.words)[1], *varied, "hub.push=false", "reference=null"]

    def check(self) -> LoadedRecipe:
        """Check every value of a list and both ends of every range, and return the recipe with the first values.

        Raises RecipeError, and UsageError for settings that a sweep does not support.
        """
        space = self.space
        first = {dimension.key: dimension.examples[0] for dimension in space}
        for dimension in space:
            for value in dimension.examples:
                self.load({**first, dimension.key: value})
        loaded = self.load(first)
        if loaded.recipe.training.seeds is not None:
            raise UsageError("training.seeds: a trial of a sweep has one seed; set training.seed instead")
        if loaded.recipe.data.fold is not None:
            raise UsageError("data.fold: the test rows of a fold must not be scored by a sweep; remove it (null)")
        return loaded

    def load_trial(self, values: Mapping[str, Any], number: int) -> LoadedRecipe:
        """Return the recipe of a trial without baselines, which are the same for all trials; the best trial gets them."""
        loaded = self.load(values)
        evaluation = loaded.recipe.evaluation.model_copy(update={"baselines": []})
        recipe = loaded.recipe.model_copy(update={"evaluation": evaluation})
        return replace(loaded, name=f"{loaded.name}_trial_{number}", recipe=recipe)


def run_sweep(request: SweepRequest, options: RunOptions) -> dict[str, Any]:
    """Run trials until the planned number has ended, and return the content of sweep.json with the `folder`.

    The folder may be new, or belong to the same sweep, which is then resumed or joined. The last process to finish scores the
    best trial on the test rows, once. Raises UsageError before anything is trained, Interrupted, and the errors of a run.
    """
    facts = _facts(request, options)
    with patient_output(), StorageErrors(facts.folder, _join_command(facts)):
        return _run_sweep(request, facts, options)


def _run_sweep(request: SweepRequest, facts: SweepFacts, options: RunOptions) -> dict[str, Any]:
    """Run the trials and write the summary; return the content of sweep.json with the `folder`."""
    display = Display(options.console, enabled=True, verbosity=options.verbosity)
    study = open_study(request, facts)
    display.say(f"sweep      {facts.folder}: {facts.trials} trials, pruning: {request.pruner}")
    for dimension in request.space:
        display.say(f"setting    {dimension.key}: {dimension.describe()}")
    if options.execution.is_separate:
        _run_in_jobs(request, facts, options)
    else:
        _Worker(request, facts, options).run_trials(study)
    with lock(facts.folder / LOGS / "summary.lock"):
        results = summarize(facts, study)
        if results.complete:
            results = finish_sweep(facts, results, request.load, display)
        else:
            display.say("other processes still compute trials; the last one to finish scores the best trial")
        write_summary(facts.folder, results)
    print_sweep(results, facts.folder, options.console)
    return {**results.as_json(), "folder": str(facts.folder)}


def _facts(request: SweepRequest, options: RunOptions) -> SweepFacts:
    """Check the request, create the folder of the sweep, and return the facts about it. Raises UsageError."""
    loaded = request.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a trial of a sweep is trained in one process; --parallel computes several trials at a time")
    name, output = f"{loaded.name}-sweep", options.output
    folder = output
    if folder is None:
        with claim(
            name, None, resume=False
        ) as created:  # other processes may join, so nobody keeps the lock of a sweep
            folder = created.folder
    check_sweep_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = loaded.task.metrics(loaded.recipe.task)
    metric = loaded.recipe.evaluation.metric_for_best_model or next(iter(metrics))
    higher = metric != "loss" and metrics[metric].greater_is_better
    return SweepFacts(
        folder,
        name,
        options.command,
        loaded,
        metric,
        higher,
        request.planned_trials,
        request.pruner,
        tuple(request.space),
    )


def open_study(request: SweepRequest, facts: SweepFacts) -> "optuna.Study":
    """Return the study in the folder of a sweep; create it if there is none. Raises UsageError for another sweep.

    The first trial of a new study has the recipe's values, if all of them are among the values to search. Lists with few
    combinations are searched completely.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    # Absolute, because Optuna's lock is a link to this path: with a relative path it waits forever for the lock of a process
    # that was killed.
    journal = (facts.folder / SWEEP_JOURNAL).resolve()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=_FULL_TRIALS),
        "halving": optuna.pruners.SuccessiveHalvingPruner(),
        "none": optuna.pruners.NopPruner(),
    }
    identity = {"recipe": request.load({}).recipe.sha256(), "words": sorted(request.words), "pruner": request.pruner}
    with lock(facts.folder / LOGS / "sweep.lock"):
        _repair_journal(journal)
        study = optuna.create_study(
            study_name=_STUDY,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            direction="maximize" if facts.greater_is_better else "minimize",
            pruner=pruners[request.pruner],
            load_if_exists=True,
        )
        known = study.user_attrs.get("identity")
        if known is None:
            study.set_user_attr("identity", identity)
            first, combinations = _recipe_values(request), all_combinations(request.space, request.trials) or []
            for values in [*([] if first is None else [first]), *(each for each in combinations if each != first)]:
                study.enqueue_trial(values)
        elif known != identity:
            changed = next(name for name in identity if known.get(name) != identity[name])
            raise UsageError(
                f"{facts.folder} is a sweep with another {changed} ({known.get(changed)}; now {identity[changed]}). Repeat the "
                "command of that sweep, or choose another --output"
            )
    return study


def _repair_journal(journal: Path) -> None:
    """Remove a last line that was not written completely, because the disk was full or the machine lost its power.

    Optuna ignores such a line at the end, but the next line would be appended to it.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    if not journal.is_file() or journal.read_bytes()[-1:] in (b"", b"\n"):
        return
    writing = JournalFileSymlinkLock(str(journal))
    writing.acquire()
    try:
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    finally:
        writing.release()


def _recipe_values(request: SweepRequest) -> dict[str, Any] | None:
    """Return the recipe's values of the varied settings, None if one of them is not among the values to search."""
    recipe = request.load({}).recipe.as_dict()
    values = {}
    for dimension in request.space:
        section, _, key = dimension.key.partition(".")
        value = (recipe.get(section) or {}).get(key)
        if not dimension.contains(value):
            return None
        values[dimension.key] = value
    return values


def _run_in_jobs(request: SweepRequest, facts: SweepFacts, options: RunOptions) -> None:
    """Compute the trials in several processes, each of which takes trials until none is left."""
    from ft_toolkit.runs.executors import find_executors

    executor = find_executors()[options.execution.executor]
    n_workers = options.execution.parallel or executor.parallel(options.execution.options) or facts.trials
    arguments = {
        "recipe": request.recipe,
        "path": str(request.path),
        "words": list(request.words),
        "trials": request.trials,
        "pruner": request.pruner,
        "folder": str(facts.folder),
        "command": options.command,
        "verbosity": int(options.verbosity),
    }
    display = Display(options.console, enabled=True, verbosity=options.verbosity)
    logs = facts.folder / LOGS
    jobs = [
        # the process id, because several commands may work on one sweep
        Job(
            f"worker {i}",
            facts.folder,
            f"{__name__}:{work.__name__}",
            arguments,
            logs / f"worker_{os.getpid()}_{i}.log",
        )
        for i in range(1, min(n_workers, facts.trials) + 1)
    ]
    run_jobs(jobs, options.execution, logs, display.say, _join_command(facts))


def work(
    recipe: str, path: str, words: list[str], trials: int, pruner: Pruner, folder: str, command: str, verbosity: int
) -> None:
    """Compute trials of an existing sweep in the process of a job until none is left."""
    request = SweepRequest(recipe, Path(path), tuple(words), trials, pruner)
    options = RunOptions(Path(folder), False, False, command, Console(), Verbosity(verbosity))
    with quiet_libraries():
        facts = _facts(request, options)
        _Worker(request, facts, options).run_trials(open_study(request, facts))


def _join_command(facts: SweepFacts) -> str:
    """Return the command that resumes or joins a sweep."""
    return shlex.join([*without_folder(facts.command), "--output", str(facts.folder)])


class _Worker:
    """Computes trials in this process."""

    def __init__(self, request: SweepRequest, facts: SweepFacts, options: RunOptions) -> None:
        self._request, self._facts, self._options = request, facts, options
        self._display = Display(options.console, enabled=True, verbosity=options.verbosity)

    def run_trials(self, study: "optuna.Study") -> None:
        """Compute trials until the planned number has been started and no interrupted one is left."""
        while True:
            with ExitStack() as held:
                trial = self._take_trial(study, held)
                if trial is None:
                    return
                self._run_trial(study, trial)
            with lock(self._facts.folder / LOGS / "summary.lock"):
                write_summary(self._facts.folder, summarize(self._facts, study))

    def _take_trial(self, study: "optuna.Study", held: ExitStack) -> "optuna.trial.Trial | None":
        """Return an interrupted trial, otherwise a new one, with its lock in `held`; None if there is nothing to do."""
        from optuna.trial import Trial, TrialState

        logs = self._facts.folder / LOGS
        with lock(logs / "sweep.lock"):
            trials = study.get_trials(deepcopy=False)
            for other in trials:
                lock_path = logs / f"trial_{other.number}.lock"
                if other.state is TrialState.RUNNING and held.enter_context(try_lock(lock_path)):
                    return Trial(study, other._trial_id)  # Optuna has no public function to continue a trial
            if sum(other.state is not TrialState.WAITING for other in trials) >= self._facts.trials:
                return None
            trial = study.ask()
            held.enter_context(try_lock(logs / f"trial_{trial.number}.lock"))
            return trial

    def _run_trial(self, study: "optuna.Study", trial: "optuna.trial.Trial") -> None:
        """Train and evaluate a trial, and write its end into the journal."""
        import optuna
        from optuna.trial import TrialState

        folder = trial_folder(self._facts.folder, trial.number)
        # a trial that was killed often, but made progress between two kills, goes on
        step = last_step(folder)
        starts = 1 if step > trial.user_attrs.get("step", 0) else trial.user_attrs.get("starts", 0) + 1
        trial.set_user_attr("step", step)
        trial.set_user_attr("starts", starts)
        # a seed per trial: processes that work at the same time choose different values
        seed = self._facts.loaded.recipe.training.seed + trial.number
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        values = {dimension.key: dimension.suggest(trial) for dimension in self._request.space}
        try:
            if starts > _STARTS:
                raise FtkError(f"its process died {_STARTS} times")
            self._compute(trial, values, folder)
        except PrunedError:
            self._display.say(f"trial {trial.number}: pruned")
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            study.tell(trial, state=TrialState.PRUNED)
            return
        except Interrupted as interrupted:
            raise Interrupted(
                interrupted.exit_code - 128,
                f"stopped in trial {trial.number}; a checkpoint is saved, and the finished trials are kept. Resume with:\n  "
                f"{_join_command(self._facts)}",
            ) from None
        except UsageError:
            raise
        except (FtkError, torch.OutOfMemoryError) as error:
            may_succeed = isinstance(error, ReloadError) and error.may_succeed
            is_final = isinstance(error, (NotFiniteError, ReloadError, torch.OutOfMemoryError)) and not may_succeed
            if not is_final and starts <= _STARTS:
                raise
            self._fail(study, trial, str(error))
            return
        value = selection_score(read_run_results(folder), self._facts.metric)
        if value is None:
            self._fail(study, trial, f"the validation {self._facts.metric} is undefined")
        else:
            self._display.say(f"trial {trial.number}: validation {self._facts.metric} {value:.4f}")
            study.tell(trial, value)

    def _compute(self, trial: "optuna.trial.Trial", values: Mapping[str, Any], folder: Path) -> None:
        """Run the recipe of a trial, or resume it. Raises PrunedError."""
        request = self._request
        words = ["ftk", "run", request.recipe, *request.settings(values), "--output", str(folder)]
        child = ChildRun(f"trial {trial.number}", request.load_trial(values, trial.number), folder, shlex.join(words))
        action = action_of(child, 1, smoke=False)
        settings = ", ".join(f"{key}={as_text(value)}" for key, value in values.items())
        self._display.say(f"trial {trial.number} of {self._facts.trials}: {action.value}, {settings}")
        if action is Action.SKIP:  # killed between the end of the run and the entry in the journal
            return
        reported = set(trial.study.trials[trial.number].intermediate_values)

        def report(evaluation: int, score: float | None) -> None:
            if score is not None and evaluation not in reported:
                trial.report(score, evaluation)
            if trial.should_prune():
                raise PrunedError

        options = replace(
            self._options,
            output=folder,
            resume=folder.is_dir(),
            command=child.command,
            without_test=True,
            after_evaluation=report,
        )
        run(child.loaded, options)

    def _fail(self, study: "optuna.Study", trial: "optuna.trial.Trial", reason: str) -> None:
        from optuna.trial import TrialState

        self._display.warn(f"trial {trial.number}: failed: {reason}")
        trial.set_user_attr("reason", reason)
        study.tell(trial, state=TrialState.FAIL)
