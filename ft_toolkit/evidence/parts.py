"""What a split's record says beyond its scores: slices, and for classifiers calibration and gaps between groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.evidence.calibration import calibration
from ft_toolkit.evidence.groups import group_gaps
from ft_toolkit.evidence.slices import slices
from ft_toolkit.tasks.base import Metric, Rows, Task


def parts(
    decoded: Sequence[Mapping[str, Any]],
    predictions: np.ndarray,
    references: np.ndarray,
    *,
    rows: Rows,
    task: Task,
    settings: Any,
    schema: Any,
    metrics: Mapping[str, Metric],
    main_metric: str,
    slice_by: Sequence[str],
    groups: Sequence[str],
    fitted_here: bool,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Return what to merge into a split's part of results.json: `slices`, and for classifiers `calibration` and `groups`.

    `predictions` and `references` are the task's arrays of the decoded predictions. `fitted_here` says that thresholds and
    temperatures were chosen on these rows; `slice_by` and `groups` are columns of the rows.
    """
    found: dict[str, Any] = {
        "slices": slices(
            rows,
            predictions,
            references,
            task=task,
            columns=slice_by,
            name=main_metric,
            metric=metrics[main_metric],
            samples=samples,
            seed=seed,
        )
    }
    if task.classifies is not None and task.classifies(settings):
        found["calibration"] = calibration(
            decoded, references, schema, fitted_here=fitted_here, samples=samples, seed=seed
        )
        if groups:
            found["groups"] = group_gaps(
                rows,
                predictions,
                references,
                columns=groups,
                labels=schema.labels,
                samples=samples,
                seed=seed,
            )
    return found
