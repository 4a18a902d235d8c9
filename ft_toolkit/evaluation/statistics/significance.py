"""Significance tests for scores on the same examples, Holm's correction, and the smallest detectable difference."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from ft_toolkit.metrics.bootstrap import varies

LEVEL = 0.05
POWER = 0.8

Outcome = Literal["better", "worse", "no significant difference", "unknown"]


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (McNemar 1947).

    The arguments count the examples that only one of two models has right. Under the null hypothesis each of them is a fair
    coin toss. The sum uses integers, so it is exact up to the last division.
    """
    n, fewer = only_one + only_other, min(only_one, only_other)
    term = total = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        total += term
    return min(1.0, float(2 * total / 2**n))


def bootstrap_p(differences: np.ndarray) -> float | None:
    """Return the two-sided p-value of resampled differences: the smallest level whose percentile interval excludes 0.

    It is at least 2 / (resamples + 1). Undefined resamples are ignored; the result is None if all are undefined. See Efron and
    Tibshirani 1993, chapter 15.
    """
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return None
    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(defined) + 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for their number (Holm 1979), in the same order; None stays None and is not counted."""
    ordered = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p))
        corrected[i] = largest
    return corrected


def judge_difference(difference: float, p: float | None, *, greater_is_better: bool) -> Outcome:
    """Return the outcome for a score minus the score of the base, given the corrected p-value."""
    if p is None or np.isnan(difference):
        return "unknown"
    if p >= LEVEL or difference == 0:
        return "no significant difference"
    return "better" if (difference > 0) == greater_is_better else "worse"


def smallest_detectable_difference(resamples: np.ndarray, scores: int = 1) -> float | None:
    """Return the smallest difference that is significant at the 5% level with a power of 80%: 2.80 standard errors.

    `resamples` are bootstrap resamples of a difference, or with `scores=2` of one score. In the second case the other model is
    assumed to have the same standard error and independent errors, so the variance doubles; models that err on the same
    examples have a smaller detectable difference. Returns None if fewer than two resamples are defined or all are equal.

    See Cohen 1988, and Card et al. 2020 (arXiv:2010.06595) for models on one test set.
    """
    if not varies(resamples):
        return None
    defined = resamples[~np.isnan(resamples)]
    quantile = NormalDist().inv_cdf
    return float((quantile(1 - LEVEL / 2) + quantile(POWER)) * defined.std(ddof=1) * scores**0.5)
