"""The Python API: `fine_tune` trains a model, and the run that it returns predicts, evaluates and pushes it."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rich.console import Console

from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.fresh_process import keep_process, start_early
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import RECIPE
from ft_toolkit.core.run_records import EvaluationResults, RunResults, SeedSpread, SeedsResults, read_results
from ft_toolkit.core.run_scores import MetricScore
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.data.in_memory import is_path, plain_rows, rows_of
from ft_toolkit.data.load_data import check_sources
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report.notebook import results_html, summary
from ft_toolkit.runs.fine_tune_arguments import read_arguments, write_rows
from ft_toolkit.training.distributed.launch import is_launched

if TYPE_CHECKING:
    import datasets
    import pandas

    from ft_toolkit.hub.push import Pushed
    from ft_toolkit.inference.model_folder import LoadedModel
    from ft_toolkit.runtime.exported_model import ExportedModel

    Rows: TypeAlias = pandas.DataFrame | datasets.Dataset | Sequence[Mapping[str, Any]] | str | os.PathLike[str]

Scores = dict[str, dict[str, dict[str, float | None]]]


def fine_tune(
    task: str | Mapping[str, Any],
    *,
    train: "Rows | None" = None,
    validation: "Rows | None" = None,
    test: "Rows | None" = None,
    model: str | Mapping[str, Any] | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> "FineTunedRun":
    """Train, evaluate and document a model, and return the finished run.

    `task` is the name of a task (see `find_tasks`), or a dict with the name and the settings of the task. `train`,
    `validation` and `test` are pandas DataFrames, `datasets.Dataset`s, lists of dicts, or paths of data files. `model` is a
    Hub id, a folder, or a dict with the keys of the recipe section `model`. `output` is the run folder, by default
    runs/TASK with the next free number. `progress=False` prints nothing.

    `settings` are the other sections of a recipe: `training`, `data`, `evaluation`, `hub` ... as dicts, and `method` as a
    name or a dict. Every setting of a recipe is allowed. One default differs from a recipe: without validation rows, a tenth
    of the training rows is held out.

    Rows from memory are written to `input_rows/` in the run folder, so the run can be repeated with
    `ftk run FOLDER/recipe.yaml` and resumed with --resume. NaN, NaT and pandas.NA are missing values, the index of a DataFrame
    is ignored, and class labels of a Dataset become names.

    Raises RecipeError for wrong settings, DataError for wrong rows, other UsageErrors before anything is trained,
    NotFiniteError, ReloadError, or Interrupted with a checkpoint saved.

        run = ft_toolkit.fine_tune(
            "text_classification",
            train=frame,  # a DataFrame with the columns review and stars
            model="google-bert/bert-base-uncased",
            data={"columns": {"text": "review", "label": "stars"}},
            training={"learning_rate": 3e-5, "num_train_epochs": 2},
        )
        run.scores["validation"]["accuracy"]  # {"value": 0.91, "low": 0.88, "high": 0.94}
        run.predict("I like it")
    """
    if is_launched(os.environ):
        raise UsageError(
            "fine_tune trains in one process; to train in several, run a recipe: ftk run RECIPE --processes N"
        )
    arguments = read_arguments(task, model, {"train": train, "validation": validation, "test": test}, settings)
    name = arguments.recipe(Path("runs")).name  # wrong settings fail here, before a folder is created
    with claim(name, None if output is None else Path(output), resume=False) as lock:
        folder = lock.folder
        try:
            for split, rows in arguments.rows.items():
                write_rows(folder, split, rows)
            loaded = arguments.recipe(folder)
            check_sources(loaded.recipe.data, loaded.task)
            _run(loaded, folder, progress=progress)
        except UsageError:
            if not (folder / RECIPE).exists():  # nothing was trained
                shutil.rmtree(folder, ignore_errors=True)
            raise
    return FineTunedRun(folder)


def load(path: str | os.PathLike[str], *, base: str | os.PathLike[str] | None = None) -> "LoadedModel | ExportedModel":
    """Load a finished model to predict.

    `path` is a run folder, a model folder, the folder of an export, or a model on the Hub: owner/name or
    owner/name@revision. `base` is the folder of an adapter's base model, if it was moved after the training. Raises
    ModelError, or RunFolderError for a damaged folder.

        model = ft_toolkit.load("runs/demo")
        model("Where is my parcel?")                # a dict
        model(["Where is my parcel?", "Thanks!"])   # a list of dicts
    """
    with quiet_libraries():
        from ft_toolkit.inference.model_folder import open_model  # imports torch

        return open_model(str(path), None if base is None else str(base))


class FineTunedRun:
    """A finished run. `fine_tune` returns one; `FineTunedRun(folder)` opens the folder of an earlier one.

    `folder` is the run folder, with the report page (report.html), the model card (README.md) and the model (model/).

        run = ft_toolkit.FineTunedRun("runs/demo")
        run.scores["test"]["accuracy"]["value"]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open a run folder. Raises UsageError if the run is not finished, RunFolderError if a file is damaged."""
        results = read_results(Path(folder))
        if isinstance(results, EvaluationResults):
            raise UsageError(f"{folder}: this is the folder of an evaluation; a run folder is required")
        self.folder = Path(folder)
        self._results: RunResults | SeedsResults = results

    @property
    def scores(self) -> Scores:
        """Return {split: {metric: {"value", "low", "high"}}} with the ends of the 95% interval.

        In a multi-seed run the keys of a metric are "mean", "sd", "min" and "max" over the seeds. A number is None where it
        is undefined.

            run.scores["test"]["f1_macro"]["low"]
        """
        if isinstance(self._results, SeedsResults):
            return {
                split: {name: _spread(score) for name, score in scores.metrics.items()}
                for split, scores in self._results.scores.items()
            }
        return {
            split: {name: _interval(score) for name, score in scores.metrics.items()}
            for split, scores in self._results.scores.items()
        }

    @property
    def warnings(self) -> list[str]:
        """Return the warnings about the rows: rows left out, truncated texts, texts that are also in the training rows ...

        for warning in run.warnings:
            print(warning)
        """
        return list(self._results.data.warnings)

    @cached_property
    def model(self) -> "LoadedModel | ExportedModel":
        """Return the model, loaded on first use; of a multi-seed run, the model of the best seed.

        run.model("a text")
        """
        return load(self.folder)

    def predict(self, data: Any, *, columns: Mapping[str, str] | None = None) -> dict[str, Any] | list[dict[str, Any]]:
        """Predict: one dict for a str or a dict, else a list with one dict per row; see `LoadedModel.__call__`.

        run.predict("a text")
        run.predict(frame)
        """
        predictions: dict[str, Any] | list[dict[str, Any]] = self.model(data, columns=columns)
        return predictions

    def evaluate(
        self,
        data: "Rows",
        *,
        split: Literal["test", "validation"] = "test",
        columns: Mapping[str, str | Sequence[str]] | None = None,
        group: str | None = None,
        slices: Sequence[str] = (),
        output: str | os.PathLike[str] | None = None,
    ) -> "Evaluation":
        """Score the model on labelled rows and write an evaluation folder with a report page.

        `data` is a DataFrame, a Dataset, a list of dicts, or the path of a data file. `split` is the name of the split in the
        report. `columns` maps columns of the task to columns of the data (a list of 0/1 columns for several labels); the
        default is the names of the training run. `group` is the column that says which rows belong together, by default as in
        the training run. `slices` are columns whose values get separate scores. `output` is the folder, by default
        evaluations/NAME with the next free number. Raises UsageError.

            run.evaluate(new_rows).scores["accuracy"]
        """
        from ft_toolkit.runs.evaluate import EvaluationRequest, evaluate_model
        from ft_toolkit.training.tracking import Display

        target = None if output is None else Path(output)
        if is_path(data):
            source = os.fspath(data)
        else:
            rows = plain_rows(rows_of(data, "data"), "data")
            with claim(self.folder.name, target, resume=False, parent="evaluations") as lock:
                target = lock.folder
            source = write_rows(target, split, rows)
        names = {key: name if isinstance(name, str) else ",".join(name) for key, name in (columns or {}).items()}
        column_options = [word for column, name in names.items() for word in ("--column", f"{column}={name}")]
        group_option = [] if group is None else ["--group", group]
        command = [
            "ftk",
            "evaluate",
            str(self.folder),
            "--data",
            source,
            "--split",
            split,
            *column_options,
            *group_option,
        ]
        request = EvaluationRequest(
            str(self.folder), source, split, columns or {}, group, slices, target, False, None, shlex.join(command)
        )
        try:
            with quiet_libraries():
                results = evaluate_model(request, Display(Console(quiet=True), enabled=False))
        except UsageError:
            if target is not None and not is_path(data):
                shutil.rmtree(target, ignore_errors=True)
            raise
        return Evaluation(results["folder"])

    def push(
        self,
        repo: str,
        *,
        private: bool = True,
        revision: str | None = None,
        pull_request: bool = False,
        tag: str | None = None,
        merged: bool = False,
        dry_run: bool = False,
    ) -> "Pushed | None":
        """Upload the model and its card to the Hub, and return the URL and the commit; None for a dry run.

        `repo` is owner/name. `private` applies to a repository that does not exist yet. `revision` is a branch, `tag` a name
        for the commit. `merged` uploads the weights with the adapter merged. `dry_run` prints the files and uploads nothing.
        Raises UsageError, AccessError or HubError.

            run.push("me/support-inbox", dry_run=True)
        """
        from ft_toolkit.hub.access import Destination
        from ft_toolkit.hub.push import push

        target = Destination(repo, private, revision, pull_request, tag)
        with quiet_libraries():
            return push(self.folder, target, merged=merged, say=_print if dry_run else _ignore, dry_run=dry_run)

    def __repr__(self) -> str:
        return f"FineTunedRun({str(self.folder)!r}): {summary(self._results)}"

    def _repr_html_(self) -> str:
        """Return the verdict, the scores and a link to the report page, for notebooks."""
        return results_html(self.folder, self._results)


class Evaluation:
    """A finished evaluation of a model on new rows. `folder` is its folder, with the report page (report.html).

    evaluation = run.evaluate("new_rows.csv")
    evaluation.scores["accuracy"]["value"]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open an evaluation folder. Raises UsageError for another folder, RunFolderError if a file is damaged."""
        results = read_results(Path(folder))
        if not isinstance(results, EvaluationResults):
            raise UsageError(f"{folder}: this is the folder of a run; the folder of an evaluation is required")
        self.folder = Path(folder)
        self._results, self._split = results, next(iter(results.scores))

    @property
    def scores(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {"value", "low", "high"}} with the ends of the 95% interval; None where undefined.

        evaluation.scores["f1_macro"]["low"]
        """
        return {name: _interval(score) for name, score in self._results.scores[self._split].metrics.items()}

    def __repr__(self) -> str:
        return f"Evaluation({str(self.folder)!r}): {summary(self._results)}"

    def _repr_html_(self) -> str:
        """Return the scores and a link to the report page, for notebooks."""
        return results_html(self.folder, self._results)


def _interval(score: MetricScore) -> dict[str, float | None]:
    return {"value": score.value, "low": score.low, "high": score.high}


def _spread(score: SeedSpread) -> dict[str, float | None]:
    return {"mean": score.mean, "sd": score.sd, "min": score.min, "max": score.max}


def _run(loaded: LoadedRecipe, folder: Path, *, progress: bool) -> None:
    """Run a recipe into a folder; with `progress`, show the progress of the training."""
    with keep_process():
        start_early()
        with quiet_libraries():
            from ft_toolkit.runs.seeds import run_recipe  # imports torch

            run_recipe(
                loaded,
                output=folder,
                resume=False,
                smoke=False,
                command=shlex.join(["ftk", "run", str(folder / RECIPE)]),
                console=Console(quiet=not progress, force_jupyter=False),
                verbosity=Verbosity.PROGRESS,
            )


def _print(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(line, markup=False)


def _ignore(line: str) -> None:
    """Discard a line of output."""
