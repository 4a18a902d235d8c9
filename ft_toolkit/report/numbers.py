"""Numbers as text: scores, intervals, differences, counts and durations."""

from collections.abc import Mapping
from typing import Any

from ft_toolkit.core.run_scores import Interval
from ft_toolkit.metrics.metric import Metric

MISSING = "-"
# With fewer examples than this, the 95% interval of a share is usually wider than 0.02: two decimals are enough.
FEW_EXAMPLES = 1000


def number(value: float | None, n: int | None = None) -> str:
    """Return a score as text. `n` is the number of examples behind it, None when unknown.

    A score has four decimals, or two when `n` is below FEW_EXAMPLES or the score is 10 or more. It gets more decimals when it
    would otherwise be shown as 0 or 1 and is not.
    """
    if value is None:
        return MISSING
    if abs(value) >= 10:
        return f"{value:,.2f}" if abs(value) < 1e5 else f"{value:.3g}"
    has_few = n is not None and n < FEW_EXAMPLES
    if 0 < abs(value) < (0.01 if has_few else 0.001):
        return f"{value:.1g}" if has_few else f"{value:.3g}"
    text = ""
    for decimals in range(2 if has_few else 4, 7):
        text = f"{value + 0.0:.{decimals}f}"
        if abs(value) == 1 or abs(float(text)) != 1:
            break
    return text


def interval(score: Interval | Mapping[str, Any], n: int | None = None) -> str:
    """Return the 95% interval of a score as text."""
    low, high = (score.low, score.high) if isinstance(score, Interval) else (score["low"], score["high"])
    return MISSING if low is None or high is None else f"{number(low, n)} to {number(high, n)}"


def is_share(metric: Metric | None) -> bool:
    """Return whether every value of the metric is between 0 and its best value."""
    return metric is not None and (metric.is_share or metric.is_mean)


def difference(values: tuple[float, ...], metric: Metric | None, n: int | None) -> str:
    """Return a difference, or the ends of an interval of differences, as text: in points for shares."""
    if metric is None or not is_share(metric):
        return " to ".join(number(value, n) for value in values)
    points = [value * 100 / metric.best for value in values]
    first = 0 if n is not None and n < FEW_EXAMPLES else 1
    # more decimals for a difference that would be shown as 0 and is not
    decimals = next((d for d in range(first, 4) if not any(p and not round(p, d) for p in points)), 4)
    unit = "point" if len(points) == 1 and abs(round(points[0], decimals)) == 1 else "points"
    return " to ".join(f"{round(p, decimals) + 0.0:.{decimals}f}" for p in points) + f" {unit}"


def count(value: int | float | None) -> str:
    """Return a count with thousands separators."""
    return MISSING if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str | None:
    """Return a duration as text."""
    if value is None:
        return None
    if value < 120:
        return f"{value:.1f} s"
    minutes, full_seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {full_seconds} s"
