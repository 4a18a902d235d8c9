"""Everything that results.json records about a split beyond its scores: slices, calibration and gaps between groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.evaluation.breakdown.calibration import calibration
from ft_toolkit.evaluation.breakdown.groups import group_gaps
from ft_toolkit.evaluation.breakdown.slices import score_slices
from ft_toolkit.evaluation.statistics.scores import Scores, ScoringSetup
from ft_toolkit.tasks.base import Rows


def break_down_split(
    decoded: Sequence[Mapping[str, Any]], rows: Rows, scores: Scores, setup: ScoringSetup, *, fitted_here: bool
) -> dict[str, Any]:
    """Return the keys to add to the record of a split: `slices`, and for classifiers `calibration` and `groups`.

    `decoded` has one prediction per row. `fitted_here` says that thresholds and temperatures were fitted to these rows.
    """
    predictions, references = scores.predictions, scores.references
    record: dict[str, Any] = {"slices": score_slices(rows, predictions, references, setup)}
    if setup.task.classifier(setup.settings) is not None:
        record["calibration"] = calibration(decoded, predictions, references, setup, fitted_here=fitted_here)
        if setup.groups:
            record["groups"] = group_gaps(rows, predictions, references, setup)
    return record
