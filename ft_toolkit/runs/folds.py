"""`ftk folds`: cross-validation. Each fold of the training rows is scored by a model that was trained on the other folds."""

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ft_toolkit.core.errors import ResumeError, UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.fold_records import FoldRun, FoldsResults, write_folds
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.output import patient_output
from ft_toolkit.core.run_folder import PREDICTIONS, resume_command
from ft_toolkit.core.run_records import RunResults, read_run_results
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.report.folds import print_folds, write_folds_page
from ft_toolkit.runs.multi_run import ChildRun, run_all
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.seeds import spread
from ft_toolkit.runs.setup import claimed_folder
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.prepare import prepare
from ft_toolkit.training.tracking import Display

# In a run with `data.fold`, this split has the rows of the fold.
_SPLIT = "test"


@dataclass(frozen=True)
class FoldsRequest:
    """The arguments of `ftk folds`. `recipe` is the recipe as named on the command line, `path` is its file."""

    recipe: str
    path: Path
    overrides: Sequence[str]
    k: int

    def load(self) -> LoadedRecipe:
        """Return the recipe without folds. Raises RecipeError, and UsageError for settings that folds replace."""
        loaded = load_recipe(self.path, self.overrides, find_tasks())
        if loaded.recipe.data.fold is not None:
            raise UsageError("data.fold: 'ftk folds' sets it for each run; remove it (null), and use --k")
        if loaded.recipe.training.seeds is not None:
            raise UsageError("training.seeds: 'ftk folds' trains with one seed; set training.seed instead")
        return loaded

    def fold_settings(self, number: int, loaded: LoadedRecipe) -> list[str]:
        """Return the overrides of the run of a fold. They remove the published result, which was measured on other rows."""
        hub = ["hub.push=false"] if loaded.recipe.hub.push else []
        return [*self.overrides, f"data.fold={number}/{self.k}", *hub, "reference=null"]


def run_folds(request: FoldsRequest, options: RunOptions) -> dict[str, Any]:
    """Run all folds, and write folds.json, folds.html and predictions.jsonl, which has each training row once.

    Returns the content of folds.json and the `folder`; processes other than the main process return an empty dict. Raises
    UsageError before anything is trained, and the errors of a run.
    """
    with patient_output(), processes.joined() as distributed:
        return _run_folds(distributed, request, options)


def _run_folds(distributed: PartialState, request: FoldsRequest, options: RunOptions) -> dict[str, Any]:
    loaded = request.load()
    with tempfile.TemporaryDirectory() as scratch:  # rows that cannot be divided are refused before anything is written
        prepare(_fold_recipe(request, loaded, 1), work_folder=Path(scratch))
    name, command = f"{loaded.name}-folds", options.command
    display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
    with claimed_folder(distributed, name, options) as folder:
        if loaded.recipe.hub.push:
            display.warn("note: the runs of a cross-validation are not pushed to the Hub")
        children = [_child(request, loaded, number, folder) for number in range(1, request.k + 1)]
        run_all(children, options, folder, noun="folds", resume_with=resume_command(command, folder))
        if not distributed.is_main_process:
            return {}
        results = summarize(name, command, request.k, folder)
        write_folds_page(folder, results)
        write_folds(folder, results)
    print_folds(results, folder, options.console)
    return {**results.as_json(), "folder": str(folder)}


def _fold_recipe(request: FoldsRequest, loaded: LoadedRecipe, number: int) -> LoadedRecipe:
    fold = load_recipe(request.path, request.fold_settings(number, loaded), find_tasks())
    return replace(fold, name=f"{loaded.name}_fold_{number}")


def _child(request: FoldsRequest, loaded: LoadedRecipe, number: int, folder: Path) -> ChildRun:
    fold_folder = folder / _folder_name(number)
    words = ["ftk", "run", request.recipe, *request.fold_settings(number, loaded), "--output", str(fold_folder)]
    return ChildRun(f"fold {number}", _fold_recipe(request, loaded, number), fold_folder, shlex.join(words))


def _folder_name(number: int) -> str:
    return f"fold_{number}"


def summarize(name: str, command: str, k: int, folder: Path) -> FoldsResults:
    """Return the results of a cross-validation from its finished runs, and write their out-of-fold predictions.

    Raises ResumeError if the folds overlap, because the rows were changed between two runs.
    """
    runs = {number: read_run_results(folder / _folder_name(number)) for number in range(1, k + 1)}
    n_rows = _write_predictions(folder, list(runs))
    first = runs[1]
    clusters = first.scores[_SPLIT].clusters
    return FoldsResults(
        name=name,
        command=command,
        task=first.task,
        model=first.model,
        method=first.method,
        main_metric=first.main_metric,
        greater_is_better=first.greater_is_better,
        lower_is_better=first.lower_is_better,
        folds=k,
        rows=n_rows,
        groups=None if clusters is None else clusters.column,
        scores={
            metric: spread({str(number): run.scores[_SPLIT].metrics[metric] for number, run in runs.items()})
            for metric in first.scores[_SPLIT].metrics
        },
        runs=[_fold_run(number, run) for number, run in runs.items()],
        substitutions=first.substitutions,
        seconds=round(sum(run.training.seconds for run in runs.values()), 2),
    )


def _fold_run(number: int, run: RunResults) -> FoldRun:
    return FoldRun(
        fold=number,
        folder=_folder_name(number),
        rows=run.scores[_SPLIT].n,
        training_rows=run.data.splits["train"].rows,
        steps=run.training.steps,
        seconds=run.training.seconds,
    )


def _write_predictions(folder: Path, numbers: Sequence[int]) -> int:
    """Write the predictions for the rows of all folds, with the number of the fold, and return the number of rows."""
    lines: list[str] = []
    ids: set[str] = set()
    for number in numbers:
        for record in read_objects(folder / _folder_name(number) / PREDICTIONS):
            if record["split"] == _SPLIT:
                ids.add(str(record["id"]))
                values = {key: value for key, value in record.items() if key != "split"}
                lines.append(json.dumps({"fold": number, **values}, ensure_ascii=False) + "\n")
    if len(ids) < len(lines):
        raise ResumeError(
            f"{folder}: a row is in two folds, so the rows were changed between two runs; restore the rows, or start a new "
            "cross-validation"
        )
    write_file(folder / PREDICTIONS, "".join(lines))
    return len(lines)
