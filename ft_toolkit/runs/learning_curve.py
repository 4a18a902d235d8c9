"""`ftk scale`: train a recipe on growing shares of its training rows, and predict the gain from more rows."""

import shlex
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.output import patient_output
from ft_toolkit.core.run_folder import resume_command
from ft_toolkit.core.run_records import LearningCurve, read_run_results, write_learning_curve
from ft_toolkit.evaluation.compare.examples import read_examples
from ft_toolkit.evaluation.statistics.power_law import fit_record, point_record
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report.learning_curve import print_learning_curve, write_learning_curve_page
from ft_toolkit.runs.learning_curve_plan import (
    MINIMUM_STEPS,
    CurveRequest,
    CurveRun,
    check_split,
    load_models,
    plan_runs,
)
from ft_toolkit.runs.multi_run import ChildRun, run_all
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.setup import claimed_folder
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.prepare import Prepared, prepare
from ft_toolkit.training.tracking import Display

_RESAMPLES = 1000
_RESAMPLING_SEED = 0


def run_learning_curve(request: CurveRequest, options: RunOptions) -> dict[str, Any]:
    """Run all shares, models and seeds of a request, fit a curve per model, and write scale.json and scale.html.

    Returns the content of scale.json and the `folder`; processes other than the main process return an empty dict. All models
    and rows are checked before anything is trained. Raises UsageError and the errors of a run.
    """
    with patient_output(), processes.joined() as distributed:
        return _run_learning_curve(distributed, request, options)


def _run_learning_curve(distributed: PartialState, request: CurveRequest, options: RunOptions) -> dict[str, Any]:
    recipes = list(load_models(request).values())
    prepared = [_prepare(loaded, distributed.num_processes) for loaded in recipes]
    check_split(request.split, prepared[0])
    planned = plan_runs(request, prepared, distributed.num_processes)
    name, command = f"{recipes[0].name}-scale", options.command
    with claimed_folder(distributed, name, options) as folder:
        if recipes[0].recipe.hub.push:
            display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
            display.warn("note: the runs of a learning curve are not pushed to the Hub")
        children = [_child(request, curve_run, folder / curve_run.folder) for curve_run in planned]
        run_all(children, options, folder, noun="runs", resume_with=resume_command(command, folder))
        if not distributed.is_main_process:
            return {}
        summary = {"name": name, "command": command, **summarize(request, prepared[0], planned, folder)}
        curve = LearningCurve.model_validate(summary)
        write_learning_curve_page(folder, curve)
        write_learning_curve(folder, curve)
    print_learning_curve(curve, folder, options.console)
    return {**summary, "folder": str(folder)}


def _prepare(loaded: LoadedRecipe, n_processes: int) -> Prepared:
    """Prepare a run without keeping the files that it would write."""
    with tempfile.TemporaryDirectory() as scratch:
        return prepare(loaded, work_folder=Path(scratch), n_processes=n_processes)


def _child(request: CurveRequest, curve_run: CurveRun, folder: Path) -> ChildRun:
    command = shlex.join(["ftk", "run", request.recipe, *curve_run.settings, "--output", str(folder)])
    return ChildRun(curve_run.title, curve_run.loaded, folder, command)


def summarize(request: CurveRequest, first: Prepared, planned: Sequence[CurveRun], folder: Path) -> dict[str, Any]:
    """Return a summary of the finished runs in `folder`, with the points and the fit of a curve per model.

    `first` is the prepared run of the first model. Raises ResumeError if the runs were scored on different rows.
    """
    metric_name = first.main_metric
    if len(request.models or ()) > 1 and first.metrics[metric_name].depends_on_tokenizer:
        # perplexities of models with different tokenizers are not comparable, bits per byte are
        metric_name = next((name for name, each in first.metrics.items() if not each.depends_on_tokenizer), metric_name)
    metric, split = first.metrics[metric_name], request.split
    n, fingerprint = len(first.data.splits[split]), first.data.split_fingerprints[split]
    curves: dict[str, list[dict[str, Any]]] = {}
    resampled: dict[str, list[np.ndarray]] = {}
    for (model, share), group in groupby(planned, key=lambda curve_run: (curve_run.model, curve_run.share)):
        folders = [curve_run.folder for curve_run in group]
        results = [read_run_results(folder / name) for name in folders]
        if {run.data.split_fingerprints.get(split) for run in results} != {fingerprint}:
            raise ResumeError(
                f"{folder}: the runs were scored on different {split} rows; restore the rows, or start a new learning curve"
            )
        scores = [run.scores[split].metrics[metric_name].as_json() for run in results]
        point = {
            "share": share,
            "rows": results[0].data.splits["train"].rows,
            **point_record(scores, metric, n),
            "steps": results[0].training.steps,
            "seconds": round(sum(run.training.seconds for run in results), 2),
            "folders": folders,
        }
        curves.setdefault(model, []).append(point)
        resampled.setdefault(model, []).append(_resampled_mean([folder / name for name in folders], split, metric_name))
    training = first.recipe.training
    return {
        "task": first.task.name,
        "metric": metric_name,
        "greater_is_better": metric.greater_is_better,
        "best": metric.best,
        "split": split,
        "n": n,
        "fingerprint": fingerprint,
        "training_rows": len(first.data.splits["train"]),
        "epochs": training.num_train_epochs if training.max_steps is None else None,
        "minimum_steps": MINIMUM_STEPS,
        "seeds": len(next(iter(curves.values()))[0]["folders"]),
        "models": [
            {"model": model, "points": points, "fit": fit_record(points, metric, resampled[model])}
            for model, points in curves.items()
        ],
        "seconds": round(sum(point["seconds"] for points in curves.values() for point in points), 2),
    }


def _resampled_mean(folders: Sequence[Path], split: str, metric: str) -> np.ndarray:
    """Return the mean score of finished runs on resamples of their examples, shape (resamples,).

    The resamples depend only on the number of examples and their groups: runs on the same examples have the same resamples.
    """
    scores = []
    for folder in folders:
        examples = read_examples(folder, split)
        drawn = resample(
            {metric: examples.metrics[metric].fn},
            examples.predictions,
            examples.references,
            samples=_RESAMPLES,
            seed=_RESAMPLING_SEED,
            clusters=examples.clusters,
        )
        scores.append(drawn[metric])
    return np.asarray(np.mean(scores, axis=0))
