"""Compare the score of a run with a published score: reached within the tolerance, or short of it."""

from dataclasses import dataclass

from ft_toolkit.core.run_records import AnyResults, SeedSpread
from ft_toolkit.core.run_scores import MetricScore
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


def judge_reference(reference: ReferenceSection, results: AnyResults, *, greater_is_better: bool) -> ReferenceVerdict:
    """Compare results.json with the `reference:` of a recipe; for a multi-seed run, the mean is compared."""
    metric, split = reference.metric, reference.split
    scores = results.scores.get(split)
    score = None if scores is None else scores.metrics.get(metric)
    value = score.mean if isinstance(score, SeedSpread) else score.value if score is not None else None
    target = f"{reference.value:g} ± {reference.tolerance:g} ({reference.source})"
    reached = is_reached(reference, value, greater_is_better=greater_is_better)
    if score is None or value is None:
        return ReferenceVerdict(None, f"not measured: the run has no {metric} on {split}. Published: {target}")
    position = _position(score, reference.value)
    comparison = f"{split} {metric} {_number(value)} ({_spread(score)}), published {target}. {position}"
    if reached:
        return ReferenceVerdict(True, f"reached: {comparison}")
    gap = _number(shortfall(reference, value, greater_is_better=greater_is_better))
    return ReferenceVerdict(False, f"not reached, short by {gap}: {comparison}")


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _spread(score: MetricScore | SeedSpread) -> str:
    low, high = _range(score)
    if isinstance(score, SeedSpread):
        sd = "unknown" if score.sd is None else _number(score.sd)
        text = f"mean of {score.n} seeds, sd {sd}"
        return text if low is None or high is None else f"{text}, {_number(low)} to {_number(high)}"
    return "no interval" if low is None or high is None else f"95% interval {_number(low)} to {_number(high)}"


def _range(score: MetricScore | SeedSpread) -> tuple[float | None, float | None]:
    """Return the range of the seeds, or the 95% interval of a single run."""
    return (score.min, score.max) if isinstance(score, SeedSpread) else (score.low, score.high)


def _position(score: MetricScore | SeedSpread, value: float) -> str:
    """Return whether the published value is inside, above or below the interval, as a sentence."""
    low, high = _range(score)
    name = "The range of the seeds" if isinstance(score, SeedSpread) else "The interval"
    if low is None or high is None:
        return "There is no interval to compare with"
    if low <= value <= high:
        return f"{name} contains the published value"
    return f"{name} is entirely {'above' if low > value else 'below'} the published value"
