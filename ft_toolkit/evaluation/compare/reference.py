"""A run's score against a published one: reached within the tolerance, or short by how much. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """`reached` is None where the score was not measured; `words` says it to people."""

    reached: bool | None
    words: str


def short_by(reference: Mapping[str, Any], found: float, *, greater_is_better: bool) -> float:
    """Return how much worse `found` is than the published value; negative where it is better."""
    return float(reference["value"] - found if greater_is_better else found - reference["value"])


def is_reached(reference: Mapping[str, Any], found: float | None, *, greater_is_better: bool) -> bool | None:
    """Say whether a score is at most the tolerance worse than the published one; None without a score."""
    if found is None:
        return None
    return short_by(reference, found, greater_is_better=greater_is_better) <= float(reference["tolerance"])


def judge_reference(reference: Mapping[str, Any], results: Mapping[str, Any], *, greater_is_better: bool) -> Verdict:
    """Hold results.json's content against a recipe's `reference:`; of several seeds, the mean."""
    metric, split = reference["metric"], reference["split"]
    score = results["scores"].get(split, {}).get("metrics", {}).get(metric, {})
    found = score.get("mean" if "seeds" in results else "value")
    target = f"{reference['value']:g} +- {reference['tolerance']:g}, published in: {reference['source']}"
    reached = is_reached(reference, found, greater_is_better=greater_is_better)
    if reached is None:
        return Verdict(None, f"not measured: the run has no {metric} on {split}; the reference is {target}")
    said = f"{split} {metric} {_shown(found)} ({_spread(score)}) against {target}. {_place(score, reference['value'])}"
    if reached:
        return Verdict(True, f"reached: {said}")
    gap = short_by(reference, found, greater_is_better=greater_is_better)
    return Verdict(False, f"short by {_shown(gap)}, beyond the tolerance of {reference['tolerance']:g}: {said}")


def _shown(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _spread(score: Mapping[str, Any]) -> str:
    if "mean" in score:
        sd = "unknown" if score["sd"] is None else _shown(score["sd"])
        return f"mean of {score['n']} seeds, sd {sd}, {_shown(score['min'])} to {_shown(score['max'])}"
    if score["low"] is None:
        return "no interval"
    return f"95% {_shown(score['low'])} to {_shown(score['high'])}"


def _place(score: Mapping[str, Any], value: float) -> str:
    """Say where the published value lies."""
    low, high, what = (
        (score["min"], score["max"], "The range of the seeds")
        if "mean" in score
        else (score["low"], score["high"], "The interval")
    )
    if low is None or high is None:
        return "There is no interval to hold it against"
    if low <= value <= high:
        return f"{what} contains the reference"
    return f"{what} lies wholly {'above' if low > value else 'below'} the reference"
