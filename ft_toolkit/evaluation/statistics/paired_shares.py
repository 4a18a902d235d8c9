"""The interval and the test of the difference of two shares of right examples on the same independent rows.

The score statistic (Tango 1998) is the observed difference minus the true one, in standard errors. If the models differ on many
rows, it is normal. If they differ on few, its distribution is enumerated, with the likeliest share of differing rows for each
true difference (Lloyd 2008, DOI 10.1111/j.1541-0420.2007.00936.x). The rate of errors of one-sided bounds at the 5% level was
enumerated for 10 to 500 rows, differences from 0 to 0.1 and 1% to 40% differing rows. It is at most 0.073 with the normal
distribution, and at most 0.051 with the enumerated one (benchmarks/results/coverage.md).
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

# Up to this number of differing rows, the distribution is enumerated.
FEW_DIFFERING = 100
# Numbers of bisection steps. An end by the normal distribution is exact up to rounding; an enumerated end, which takes longer,
# up to 1e-6.
_STEPS = 60
_ENUMERATED_STEPS = 21
# Counts further from their mean, in standard deviations, are not enumerated: their probability is below 1e-9.
_SPREAD = 6.5
_TOLERANCE = 1e-9


@lru_cache(maxsize=512)
def tango(only_one: float, only_other: float, n: int, *, tail: float = 0.025) -> tuple[float, float]:
    """Return the score interval of the share of one model minus the share of another one on the same n examples.

    `only_one` and `only_other` count the examples that only one of them has right; `tail` is the probability on each side.
    The interval excludes 0 exactly when `score_test_p` is at most 2 * tail. Its width is positive even if the two models agree
    on every example.
    """
    return -_upper_end(only_other, only_one, n, tail), _upper_end(only_one, only_other, n, tail)


def score_test_p(only_one: float, only_other: float, n: int) -> float:
    """Return the two-sided p-value of a true difference of 0, which agrees with `tango`.

    If the models differ on many rows, it is the p-value of McNemar's test without continuity correction (McNemar 1947).
    """
    return min(1.0, 2 * _lower_p(min(only_one, only_other), max(only_one, only_other), n, 0.0))


def _upper_end(only_one: float, only_other: float, n: int, tail: float) -> float:
    """Return the largest difference whose `_lower_p` is above `tail`, by bisection."""
    inside, outside = (only_one - only_other) / n, 1.0
    # The test of 0 comes first: the interval must agree with it, and an enumerated p-value is not strictly monotonic.
    if _lower_p(only_one, only_other, n, 0.0) <= tail:
        outside = 0.0
    else:
        inside = max(inside, 0.0)
    for _ in range(_ENUMERATED_STEPS if only_one + only_other <= FEW_DIFFERING else _STEPS):
        middle = (inside + outside) / 2
        if _lower_p(only_one, only_other, n, middle) > tail:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def _lower_p(only_one: float, only_other: float, n: int, difference: float) -> float:
    """Return the probability of a statistic at most as large as the observed one, if the true difference is `difference`."""
    observed = float(_statistic(only_one, only_other, n, difference))
    if only_one + only_other > FEW_DIFFERING or abs(observed) > _SPREAD:
        return NormalDist().cdf(observed)
    other_share = float(_likeliest_share(only_one, only_other, n, difference))
    one_share = other_share + difference
    one, other = _plausible_counts(n, one_share)[:, None], _plausible_counts(n, other_share)[None, :]
    rest = n - one - other
    rest_factorials = _log_factorials(np.arange(int(rest.min()), int(rest.max()) + 1))[rest - rest.min()]
    log_p = (
        math.lgamma(n + 1)
        + _log_powers(one, one_share)
        + _log_powers(other, other_share)
        + _log_powers(rest, 1 - one_share - other_share)
        - (_log_factorials(one) + _log_factorials(other) + rest_factorials)
    )
    is_as_small = _statistic(one, other, n, difference) <= observed + _TOLERANCE
    return float(np.exp(log_p[is_as_small & (rest >= 0)]).sum())


def _statistic(only_one: Any, only_other: Any, n: int, difference: float) -> np.ndarray:
    """Return the score statistic for arrays of counts, which broadcast."""
    distance = np.asarray(only_one - only_other - n * difference, float)
    share = _likeliest_share(only_one, only_other, n, difference)
    variance = n * (2 * share + difference * (1 - difference))
    certain = np.where(np.abs(distance) < _TOLERANCE, 0.0, np.copysign(np.inf, distance))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(variance > _TOLERANCE, distance / np.sqrt(variance), certain))


def _likeliest_share(only_one: Any, only_other: Any, n: int, difference: float) -> np.ndarray:
    """Return the likeliest share of examples that only the other model has right, given the true difference."""
    b = (2 * n - only_one + only_other) * difference - only_one - only_other
    c = -only_other * difference * (1 - difference)
    return np.asarray(np.maximum((np.sqrt(np.maximum(b * b - 8 * n * c, 0.0)) - b) / (4 * n), 0.0))


def _plausible_counts(n: int, share: float) -> np.ndarray:
    """Return the counts of n examples, in order, that are plausible for a share."""
    mean, spread = n * share, _SPREAD * math.sqrt(n * max(share * (1 - share), 0.0))
    margin = math.ceil(_SPREAD) if share > 0 else 0
    return np.arange(max(0, math.floor(mean - spread)), min(n, math.ceil(mean + spread) + margin) + 1)


def _log_factorials(counts: np.ndarray) -> np.ndarray:
    return np.array([math.lgamma(max(count, 0) + 1) for count in counts.ravel().tolist()]).reshape(counts.shape)


def _log_powers(counts: np.ndarray, share: float) -> np.ndarray:
    """Return counts * log(share), with 0 * log(0) = 0."""
    return np.where(counts == 0, 0.0, counts * math.log(share) if share > 0 else -np.inf)
