"""Intervals for shares of right examples on independent rows: one share, two independent shares, two paired shares."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from ft_toolkit.metrics.metric import Metric

_STEPS = 60


def wilson(hits: float, n: int, *, tail: float = 0.025) -> tuple[float, float]:
    """Return Wilson's interval of the share hits / n (Wilson 1927), with the probability `tail` on each side.

    It is also valid for shares of 0 and 1, and its ends increase with `hits` (Brown, Cai and DasGupta 2001).
    """
    z, share = NormalDist().inv_cdf(1 - tail), hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    # Without hits the low end is exactly 0, but rounding gives up to 3e-17; with only hits the high end is exactly 1.
    return max(0.0, low) if hits > 0 else 0.0, min(1.0, high) if hits < n else 1.0


def newcombe(hits: tuple[int, int], n: tuple[int, int], *, tail: float = 0.025) -> tuple[float, float]:
    """Return the interval of the first share minus the second one, on different examples (Newcombe 1998, method 10)."""
    first, second = hits[0] / n[0], hits[1] / n[1]
    (first_low, first_high), (second_low, second_high) = (
        wilson(h, size, tail=tail) for h, size in zip(hits, n, strict=True)
    )
    return (
        first - second - math.hypot(first - first_low, second_high - second),
        first - second + math.hypot(first_high - first, second - second_low),
    )


def tango(only_one: float, only_other: float, n: int, *, tail: float = 0.025) -> tuple[float, float]:
    """Return the score interval of the share of one model minus the share of another one on the same n examples (Tango 1998).

    `only_one` and `only_other` count the examples that only one of them has right; `tail` is the probability on each side.
    The interval excludes 0 exactly when McNemar's test without continuity correction is significant. Its width is
    positive even if the two models agree on every example.
    """
    z = NormalDist().inv_cdf(1 - tail)
    low = _crossing(lambda difference: _tango_z(only_one, only_other, n, difference), z)
    high = _crossing(lambda difference: _tango_z(only_one, only_other, n, difference), -z)
    return low, high


def _tango_z(only_one: float, only_other: float, n: int, difference: float) -> float:
    """Return the score statistic of the hypothesis that the true difference of the shares is `difference`."""
    distance = only_one - only_other - n * difference
    b = (2 * n - only_one + only_other) * difference - only_one - only_other
    c = -only_other * difference * (1 - difference)
    # The likeliest share of examples that only the other model has right, if the difference is as stated.
    share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _crossing(statistic: Callable[[float], float], level: float) -> float:
    """Return where a statistic that decreases from -1 to 1 crosses `level`, by bisection."""
    low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if statistic(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def score_test_p(only_one: float, only_other: float) -> float:
    """Return the two-sided p-value that belongs to `tango`: McNemar's test without continuity correction (McNemar 1947)."""
    if only_one == only_other:
        return 1.0
    z = abs(only_one - only_other) / math.sqrt(only_one + only_other)
    return math.erfc(z / math.sqrt(2))


def right_examples(metric: Metric, predictions: np.ndarray, references: np.ndarray) -> np.ndarray | None:
    """Return which examples are right, shape (n,), if the metric is the share of right examples; otherwise None.

    The mean of a fraction per example, such as the F1 of answers, is not such a share, and neither is a macro average.
    """
    if not metric.is_mean:
        return None
    n = len(references)
    both = np.concatenate([predictions.reshape(n, -1), references.reshape(n, -1)], axis=1)
    _, first, number = np.unique(both, axis=0, return_index=True, return_inverse=True)
    # Equal rows have equal values: a classifier has few distinct pairs of labels.
    distinct = np.array([metric.fn(predictions[i : i + 1], references[i : i + 1]) for i in first.tolist()])
    values = distinct[number.ravel()]
    right = values == metric.best
    if not (right | (values == 0)).all() or abs(right.mean() * metric.best - metric.fn(predictions, references)) > 1e-9:
        return None
    return np.asarray(right)
