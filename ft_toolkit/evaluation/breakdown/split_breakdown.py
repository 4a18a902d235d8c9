"""What a split's record says beyond its scores: slices, and for classifiers calibration and gaps between groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.evaluation.breakdown.calibration import calibration
from ft_toolkit.evaluation.breakdown.groups import group_gaps
from ft_toolkit.evaluation.breakdown.slices import slices
from ft_toolkit.evaluation.statistics.scores import Scores, ScoringSetup
from ft_toolkit.tasks.base import Rows


def break_down_split(
    decoded: Sequence[Mapping[str, Any]], rows: Rows, scores: Scores, plan: ScoringSetup, *, fitted_here: bool
) -> dict[str, Any]:
    """Return what to merge into a split's part of results.json: `slices`, and for classifiers `calibration` and `groups`.

    `fitted_here` says that thresholds and temperatures were chosen on these rows.
    """
    task, predictions, references = plan.task, scores.predictions, scores.references
    draws = {"samples": plan.samples, "seed": plan.seed}
    metric = plan.metrics[plan.main_metric]
    found: dict[str, Any] = {
        "slices": slices(
            rows, predictions, references, task=task, columns=plan.slices, name=plan.main_metric, metric=metric, **draws
        )
    }
    if task.classifies is not None and task.classifies(plan.settings):
        found["calibration"] = calibration(decoded, references, plan.schema, fitted_here=fitted_here, **draws)
        if plan.groups:
            found["groups"] = group_gaps(
                rows, predictions, references, columns=plan.groups, labels=plan.schema.labels, **draws
            )
    return found
