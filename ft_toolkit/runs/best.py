"""`ftk best`: the best model that a limited time allows. Candidates are tried in order; the validation score chooses.

    frozen embeddings ──> default settings ──> contrastive pairs ──> learning rates, full and LoRA ──> more seeds ──> average

A run with another learning rate ends early if its score after a quarter or half of its evaluations is not in the better half of
all runs (successive halving: Jamieson and Talwalkar 2016, arXiv:1502.07943). best.json has all candidates that have ended, and
each candidate is a run folder, so an interrupted search continues where it stopped. The test rows are read once, at the end.
"""

import gc
import os
import shlex
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ft_toolkit.core.best_records import BestCandidate, BestChoice, BestResults, read_best, write_best
from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import FtkError, Interrupted, ResumeError, UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import BEST, BEST_RECIPE, CHECKPOINTS, LOCK, without_folder
from ft_toolkit.core.run_lock import RunLock
from ft_toolkit.core.run_records import read_results, read_run_results
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report.best import print_best, write_best_page
from ft_toolkit.runs.action import Action
from ft_toolkit.runs.best_candidates import DEFAULT, Candidate, more_seeds, plan_candidates
from ft_toolkit.runs.best_request import BestRequest
from ft_toolkit.runs.ensemble import make_ensemble
from ft_toolkit.runs.halving import best_of, is_beaten
from ft_toolkit.runs.multi_run import ChildRun, action_of
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.runs.seeds import selection_score
from ft_toolkit.runs.sweep_summary import add_test_scores, selection_bias_of
from ft_toolkit.training.prepare import Prepared, prepare
from ft_toolkit.training.tracking import Display

# Numbers of members of an average.
_SIZES = (2, 3)


class _PrunedError(Exception):
    """A candidate that ends early. The message is the reason."""


def run_best(request: BestRequest, options: RunOptions) -> dict[str, Any]:
    """Search until the time is over or no candidate is left; return the content of best.json with the `folder`.

    A folder with an unfinished search is continued. Raises UsageError before anything is trained, Interrupted, and the errors
    of the run with the default settings.
    """
    loaded = request.load()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("'ftk best' trains in one process; start it without a launcher")
    name, output = f"{loaded.name}-best", options.output
    is_known = output is not None and (output / BEST).is_file()
    if output is not None and is_known and _was_killed_at_its_end(read_best(output), options.command, output):
        options.console.print(
            f"note: the search in {output} is already finished", highlight=False, markup=False, soft_wrap=True
        )
        return {**read_best(output).as_json(), "folder": str(output)}
    if output is not None and is_known:
        _check_known(read_best(output), loaded, output)
    with tempfile.TemporaryDirectory() as scratch:  # rows that cannot be read are refused before anything is written
        prepared = prepare(loaded, work_folder=Path(scratch))
    if output is not None and is_known and read_best(output).fingerprint != prepared.data.fingerprint:
        raise ResumeError(f"{output} is a search with other rows; restore the data, or choose another --output")
    with RunLock(output) if output is not None and is_known else claim(name, output, resume=False) as lock:
        results = _Search(request, options, loaded, prepared, lock.folder, name).run()
        print_best(results, lock.folder, options.console)
    return {**results.as_json(), "folder": str(lock.folder)}


def _was_killed_at_its_end(results: BestResults, command: str, folder: Path) -> bool:
    """Return whether the same command was killed after the search was complete, before it released its lock; release it."""
    if not (results.complete and results.command == command and (folder / LOCK).is_file()):
        return False
    with RunLock(folder):
        return True


def _check_known(results: BestResults, loaded: LoadedRecipe, folder: Path) -> None:
    """Raise UsageError for a finished search, and for one of another recipe."""
    if results.complete:
        raise UsageError(
            f"{folder}: the search is finished, and its model was scored on the test rows; see {folder / 'best.html'}. For a "
            "longer search, choose another --output"
        )
    if results.recipe_sha256 != loaded.recipe.sha256():
        raise UsageError(f"{folder} is a search with another recipe or other settings; choose another --output")


class _Search:
    """A search in this process. `_results` is the content of best.json."""

    def __init__(
        self,
        request: BestRequest,
        options: RunOptions,
        loaded: LoadedRecipe,
        prepared: Prepared,
        folder: Path,
        name: str,
    ) -> None:
        self._request, self._options, self._loaded, self._prepared = request, options, loaded, prepared
        self._folder = folder
        self._display = Display(options.console, enabled=True, verbosity=options.verbosity)
        if (folder / BEST).is_file():
            self._results = read_best(folder).model_copy(update={"minutes": request.minutes, "left_out": []})
        else:
            metric = prepared.selection
            self._results = BestResults(
                name=name,
                command=options.command,
                recipe_sha256=loaded.recipe.sha256(),
                fingerprint=prepared.data.fingerprint,
                task=loaded.task.name,
                model=loaded.recipe.model.title,
                metric=metric,
                greater_is_better=metric != "loss" and prepared.metrics[metric].greater_is_better,
                minutes=request.minutes,
                seconds=0.0,
                validation_rows=len(prepared.data.splits["validation"]),
            )
        self._started = time.monotonic() - self._results.seconds

    def run(self) -> BestResults:
        """Try all candidates that the time allows, choose one, and score it on the test rows."""
        self._save()
        self._display.say(f"best       {self._folder}: {self._request.minutes:g} minutes, by {self._results.metric}")
        tried = list(plan_candidates(self._prepared, self._full_rate()))
        for candidate in tried:
            self._try(candidate)
        titles = {candidate.title: candidate for candidate in tried}
        best = next((titles[each.title] for each in self._results.finished if each.title in titles), None)
        for candidate in [] if best is None else more_seeds(best, self._loaded.recipe.training.seed):
            self._try(candidate)
        if self._results.metric != "loss":  # which an average does not have
            self._average()
        self._choose()
        return self._results

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def _seconds_left(self) -> float:
        return 60 * self._request.minutes - self._seconds

    def _save(self, **changes: Any) -> None:
        """Write best.json and the page, with changed values."""
        self._results = self._results.model_copy(update={"seconds": round(self._seconds, 1), **changes})
        write_best_page(self._folder, self._results)
        write_best(self._folder, self._results)

    def _full_rate(self) -> float:
        """Return the learning rate with which a run trains all weights."""
        if self._prepared.recipe.method.name == "full":
            return self._prepared.recipe.training.learning_rate
        with tempfile.TemporaryDirectory() as scratch:
            full = self._request.load(("method=full", "training.learning_rate=auto"))
            return prepare(full, work_folder=Path(scratch)).recipe.training.learning_rate

    def _try(self, candidate: Candidate) -> None:
        """Run a candidate, unless it was tried before or takes longer than the time that is left."""
        if any(each.title == candidate.title for each in self._results.candidates):
            return
        if not candidate.is_essential and self._expected_seconds(candidate) > self._seconds_left:
            self._save(left_out=[*self._results.left_out, candidate.title])
            return
        number = len(self._results.candidates) + 1
        folder, started, scores = self._folder / f"candidate_{number}", self._seconds, list[float | None]()
        try:
            self._run(candidate, folder, scores)
        except _PrunedError as pruned:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            self._add(candidate, folder, started, scores, ("pruned", str(pruned)))
        except Interrupted as interrupted:
            self._save()
            raise Interrupted(
                interrupted.exit_code - 128,
                f"stopped in '{candidate.title}'; a checkpoint is saved, and the finished candidates are kept. Resume with:\n  "
                f"{shlex.join([*without_folder(self._options.command), '--output', str(self._folder)])}",
            ) from None
        except (FtkError, torch.OutOfMemoryError) as error:
            if candidate.title == DEFAULT:
                raise
            self._add(candidate, folder, started, scores, ("failed", str(error).partition("\n")[0]))
        else:
            self._add(candidate, folder, started, scores, ("finished", None))
        gc.collect()  # free the model and the optimizer before the next run

    def _expected_seconds(self, candidate: Candidate) -> float:
        """Estimate the time of a candidate from the default run: `cost` times its steps, and the same other work."""
        default = next(each for each in self._results.candidates if each.title == DEFAULT)
        steps = read_run_results(self._folder / default.folder).training.step_seconds or 0.0
        return max(default.seconds - steps, 0.0) + candidate.cost * steps

    def _run(self, candidate: Candidate, folder: Path, scores: list[float | None]) -> None:
        """Run the recipe of a candidate, or resume it, and collect the score of each evaluation. Raises _PrunedError."""
        loaded = self._request.load(candidate.settings)
        evaluation = loaded.recipe.evaluation.model_copy(update={"baselines": []})  # the chosen candidate gets them
        recipe = loaded.recipe.model_copy(update={"evaluation": evaluation})
        settings = self._request.all_settings(candidate.settings)
        words = ["ftk", "run", self._request.recipe, *settings, "--output", str(folder)]
        loaded = replace(loaded, name=f"{loaded.name}_{folder.name}", recipe=recipe)
        child = ChildRun(candidate.title, loaded, folder, shlex.join(words))
        action = action_of(child, 1, smoke=False)
        left = max(self._seconds_left, 0)
        self._display.say(f"{folder.name}: {candidate.title}: {action.value}, {left:.0f} s left")
        if action is Action.SKIP:  # killed between the end of the run and the entry in best.json
            return

        def report(evaluation: int, score: float | None) -> None:
            scores.extend([None] * (evaluation - 1 - len(scores)))  # those before an interruption
            scores.append(score)
            if candidate.is_essential:
                return
            if self._seconds_left < 0:
                raise _PrunedError("the time is over")
            if candidate.may_be_pruned and is_beaten(
                scores, self._evaluations(), greater=self._results.greater_is_better
            ):
                raise _PrunedError(f"not in the better half after evaluation {len(scores)}")

        options = replace(
            self._options,
            output=folder,
            resume=folder.is_dir(),
            command=child.command,
            console=self._options.console if self._shows(candidate) else Console(quiet=True),
            without_test=True,
            after_evaluation=report,
        )
        run(child.loaded, options)

    def _evaluations(self) -> list[list[float | None]]:
        """Return the scores of the other runs, without linear probes, which have a single evaluation."""
        return [each.evaluations for each in self._results.candidates if len(each.evaluations) > 1]

    def _shows(self, candidate: Candidate) -> bool:
        """Return whether the output of a run is printed: the other runs would repeat most of the lines of the default one."""
        return candidate.title == DEFAULT or self._options.verbosity >= Verbosity.VERBOSE

    def _add(
        self,
        candidate: Candidate,
        folder: Path,
        started: float,
        scores: list[float | None],
        end: tuple[str, str | None],
    ) -> None:
        """Add a candidate that has ended to best.json."""
        state, reason = end
        value, loss = best_of(scores, greater=self._results.greater_is_better), None
        if state == "finished":
            results = read_run_results(folder)
            value, loss = selection_score(results, self._results.metric), selection_score(results, "loss")
            scores = [each.score(self._results.metric) for each in results.training.evaluations]
        record = BestCandidate.model_validate(
            {
                "title": candidate.title,
                "folder": folder.name,
                "settings": list(candidate.settings),
                "state": state,
                "value": value,
                "loss": loss,
                "evaluations": scores,
                "seconds": round(self._seconds - started, 1),
                "ended": round(self._seconds, 1),
                "reason": reason,
            }
        )
        default = value if candidate.title == DEFAULT else self._results.default_value
        self._save(candidates=[*self._results.candidates, record], default_value=default)
        text = "no score" if value is None else f"{self._results.metric} {value:.4f}"
        self._display.say(
            f"{folder.name}: {candidate.title}: {state}{f' ({reason})' if reason else ''}, validation {text}"
        )

    def _average(self) -> None:
        """Add averages of the two and of the three best candidates, if the task can average predictions."""
        members = [each for each in self._results.finished if not each.members]
        known = {each.title for each in self._results.candidates}
        for size in _SIZES:
            title = f"average of the {size} best"
            if len(members) < size or title in known or self._loaded.task.averaging is None:
                continue
            self._display.say(f"{title}: {', '.join(member.title for member in members[:size])}")
            self._add_average(title, members[:size])

    def _add_average(self, title: str, members: list[BestCandidate]) -> None:
        """Average the predictions of candidates, and add the average to best.json."""
        started, folder = self._seconds, f"average_{len(members)}"
        value, state, reason = None, "finished", None
        try:
            scores = self._make_average(members, with_test=False)["scores"]
            value = scores["validation"]["metrics"][self._results.metric]["value"]
        except UsageError as error:
            state, reason = "failed", str(error).partition("\n")[0]
        record = BestCandidate.model_validate(
            {
                "title": title,
                "folder": folder,
                "state": state,
                "value": value,
                "seconds": round(self._seconds - started, 1),
                "ended": round(self._seconds, 1),
                "reason": reason,
                "members": [member.folder for member in members],
            }
        )
        self._save(candidates=[*self._results.candidates, record])
        self._display.say(f"{folder}: {state}, validation {self._results.metric} {value}")

    def _make_average(self, members: list[BestCandidate], *, with_test: bool) -> dict[str, Any]:
        """Write the folder of an average, and return the content of its results.json."""
        folder = self._folder / f"average_{len(members)}"
        shutil.rmtree(folder, ignore_errors=True)
        folders = [self._folder / member.folder for member in members]
        display = Display(Console(quiet=True), enabled=True)
        return make_ensemble(folders, folder, self._options.command, display, with_test=with_test)

    def _choose(self) -> None:
        """Choose the best candidate, write its recipe, and score it on the test rows."""
        best = next(iter(self._results.finished), None)
        if best is None or best.value is None:
            raise FtkError(
                f"{self._folder}: no candidate has a validation {self._results.metric}; check the validation rows"
            )
        folders = [self._folder / each.folder for each in self._results.finished if not each.members]
        bias = selection_bias_of(folders, self._results.metric)
        choice = BestChoice(title=best.title, folder=best.folder, value=best.value, selection_bias=bias)
        self._save(best=choice)
        first = next(each for each in self._results.candidates if each.folder == (best.members or [best.folder])[0])
        recipe, path = self._request.load(tuple(first.settings)), self._folder / BEST_RECIPE
        header = f"# '{first.title}' of {self._results.name}.    ftk run {path}\n"
        if best.members:
            header += (
                f"# The best model is an average; this is the recipe of its first member of {len(best.members)}.\n"
            )
        write_file(path, header + recipe.to_yaml())
        if "test" in self._prepared.data.splits:
            self._display.say(f"scoring the chosen model on the test rows: {self._folder / best.folder}")
            if best.members:
                by_folder = {each.folder: each for each in self._results.candidates}
                self._make_average([by_folder[name] for name in best.members], with_test=True)
            elif "test" not in read_run_results(self._folder / best.folder).scores:
                add_test_scores(self._folder / best.folder, recipe, self._display)
            results = read_results(self._folder / best.folder)
            test = results.scores["test"]
            choice = choice.model_copy(update={"test": test.metrics[results.main_metric], "test_rows": test.n})
        self._save(best=choice, complete=True, seconds=self._results.seconds)
