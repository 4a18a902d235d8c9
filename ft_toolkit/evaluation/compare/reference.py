"""Compare the score of a run with a published score: reached within the tolerance, or short of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ft_toolkit.recipe.sections import ReferenceSection


@dataclass(frozen=True)
class ReferenceVerdict:
    """Whether the published score is reached, None if the score was not measured, and a sentence that explains it."""

    reached: bool | None
    text: str


def shortfall(reference: ReferenceSection, score: float, *, greater_is_better: bool) -> float:
    """Return how much worse a score is than the published value; negative if it is better."""
    return float(reference.value - score if greater_is_better else score - reference.value)


def is_reached(reference: ReferenceSection, score: float | None, *, greater_is_better: bool) -> bool | None:
    """Return whether a score is at most the tolerance worse than the published value; None without a score."""
    if score is None:
        return None
    return shortfall(reference, score, greater_is_better=greater_is_better) <= reference.tolerance


def judge_reference(
    reference: ReferenceSection, results: Mapping[str, Any], *, greater_is_better: bool
) -> ReferenceVerdict:
    """Compare the content of results.json with the `reference:` of a recipe; for a multi-seed run, the mean is compared."""
    metric, split = reference.metric, reference.split
    score = results["scores"].get(split, {}).get("metrics", {}).get(metric, {})
    value = score.get("mean" if "seeds" in results else "value")
    target = f"{reference.value:g} ± {reference.tolerance:g} ({reference.source})"
    reached = is_reached(reference, value, greater_is_better=greater_is_better)
    if reached is None:
        return ReferenceVerdict(None, f"not measured: the run has no {metric} on {split}. Published: {target}")
    position = _position(score, reference.value)
    comparison = f"{split} {metric} {_number(value)} ({_spread(score)}), published {target}. {position}"
    if reached:
        return ReferenceVerdict(True, f"reached: {comparison}")
    gap = _number(shortfall(reference, value, greater_is_better=greater_is_better))
    return ReferenceVerdict(False, f"not reached, short by {gap}: {comparison}")


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _spread(score: Mapping[str, Any]) -> str:
    if "mean" in score:
        sd = "unknown" if score["sd"] is None else _number(score["sd"])
        return f"mean of {score['n']} seeds, sd {sd}, {_number(score['min'])} to {_number(score['max'])}"
    if score["low"] is None:
        return "no interval"
    return f"95% interval {_number(score['low'])} to {_number(score['high'])}"


def _position(score: Mapping[str, Any], value: float) -> str:
    """Return whether the published value is inside, above or below the interval, as a sentence."""
    if "mean" in score:
        low, high, name = score["min"], score["max"], "The range of the seeds"
    else:
        low, high, name = score["low"], score["high"], "The interval"
    if low is None or high is None:
        return "There is no interval to compare with"
    if low <= value <= high:
        return f"{name} contains the published value"
    return f"{name} is entirely {'above' if low > value else 'below'} the published value"
