"""`ftk scale`: a recipe trained on growing shares of its training rows, and whether labelling more of them should help."""

import shlex
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.run_folder import resume_command
from ft_toolkit.core.run_records import LearningCurve, read_run_results, write_learning_curve
from ft_toolkit.evaluation.statistics.power_law import fit_record, point_record
from ft_toolkit.report.learning_curve import print_learning_curve, write_learning_curve_page
from ft_toolkit.runs.learning_curve_plan import (
    MINIMUM_STEPS,
    PlannedRun,
    ScaleRequest,
    check_split,
    load_models,
    plan_runs,
)
from ft_toolkit.runs.multi_run import OneOfSeveral, run_several
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import claim_folder
from ft_toolkit.training.distributed import processes as ranks
from ft_toolkit.training.prepare import Prepared, prepare
from ft_toolkit.training.tracking import Display


def run_scale(request: ScaleRequest, options: RunOptions) -> dict[str, Any]:
    """Train the ladder, fit the curve of each model, write scale.json and scale.html; return scale.json's content and `folder`.

    Processes that are not the main one get an empty dict. Every model and all rows are checked before anything is trained.
    Raises UsageError, and what a run raises.
    """
    with ranks.joined() as state:
        return _run_scale(state, request, options)


def _run_scale(state: PartialState, request: ScaleRequest, options: RunOptions) -> dict[str, Any]:
    loaded = list(load_models(request).values())
    prepared: list[Prepared] = []
    for one in loaded:
        with tempfile.TemporaryDirectory() as scratch:
            prepared.append(prepare(one, work_folder=Path(scratch)))
    check_split(request.split, prepared[0])
    planned = plan_runs(request, prepared, state.num_processes)
    name = f"{loaded[0].name}-scale"
    folder, command = claim_folder(state, name, options), options.command
    if loaded[0].recipe.hub.push:
        Display(options.console, enabled=state.is_main_process).warn(
            "note: the runs of a ladder are not pushed to the Hub"
        )
    runs = [_one(request, plan, folder / plan.place) for plan in planned]
    run_several(runs, options, what="runs", go_on=resume_command(command, folder))
    if state.is_main_process:
        found = summarize(request, prepared[0], planned, folder)
        found = {"name": name, "command": command, **found}
        write_learning_curve(folder, LearningCurve.model_validate(found))
        write_learning_curve_page(folder)
        print_learning_curve(found, folder, options.console)
    else:
        found = {}
    return {**found, "folder": str(folder)} if found else {}


def _one(request: ScaleRequest, plan: PlannedRun, folder: Path) -> OneOfSeveral:
    command = shlex.join(["ftk", "run", request.recipe, *plan.settings, "--output", str(folder)])
    return OneOfSeveral(plan.title, plan.loaded, folder, command)


def summarize(request: ScaleRequest, first: Prepared, planned: Sequence[PlannedRun], folder: Path) -> dict[str, Any]:
    """Return what the finished runs say together: a curve per model. Raises ResumeError when they saw different rows."""
    # the perplexities of models that cut a text into different tokens do not mean the same
    comparable = len(request.models or ()) > 1 and "bits_per_byte" in first.metrics
    main = "bits_per_byte" if comparable else first.main_metric
    metric, split = first.metrics[main], request.split
    n, fingerprint = len(first.data.splits[split]), first.data.split_fingerprints[split]
    curves: dict[str, list[dict[str, Any]]] = {}
    for (model, share), some in groupby(planned, key=lambda plan: (plan.model, plan.share)):
        places = [plan.place for plan in some]
        results = [read_run_results(folder / place) for place in places]
        if {one.data.split_fingerprints.get(split) for one in results} != {fingerprint}:
            raise ResumeError(f"{folder}: the runs were scored on different {split} rows; restore them, or start anew")
        scores = [one.scores[split].metrics[main].as_json() for one in results]
        point = {"share": share, "rows": results[0].data.splits["train"].rows, **point_record(scores, metric, n)}
        point |= {
            "steps": results[0].training.steps,
            "seconds": round(sum(one.training.seconds for one in results), 2),
            "folders": places,
        }
        curves.setdefault(model, []).append(point)
    training = first.recipe.training
    return {
        "task": first.task.name,
        "metric": main,
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
            {"model": model, "points": points, "fit": fit_record(points, metric)} for model, points in curves.items()
        ],
        "seconds": round(sum(point["seconds"] for points in curves.values() for point in points), 2),
    }
