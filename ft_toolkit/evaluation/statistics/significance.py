"""Is one score really different from another? Tests on the same examples, their correction, and what a test set can show."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from ft_toolkit.metrics.bootstrap import varies

LEVEL = 0.05
POWER = 0.8

Outcome = Literal["better", "worse", "no significant difference", "unknown"]


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the two-sided p of McNemar's exact test (McNemar 1947), from the examples that only one of two models has right.

    If the models were equally good, each such example would be a fair coin; whole numbers up to the last division.
    """
    n, fewer = only_one + only_other, min(only_one, only_other)
    term = total = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        total += term
    return min(1.0, float(2 * total / 2**n))


def bootstrap_p(differences: np.ndarray) -> float | None:
    """Return the two-sided p of resampled differences: the smallest level whose percentile interval leaves out 0.

    (Efron and Tibshirani 1993, chapter 15.) It is never below 2 / (resamples + 1). Undefined resamples are left out; None
    if all are.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return None
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(known) + 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p corrected for the number of comparisons (Holm 1979), in the same order; what is None is not counted."""
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, at) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[at] = largest
    return corrected


def judge_difference(difference: float, p: float | None, *, greater_is_better: bool) -> Outcome:
    """Return the outcome of a corrected p for a score minus the base's."""
    if p is None or np.isnan(difference):
        return "unknown"
    if p >= LEVEL or difference == 0:
        return "no significant difference"
    return "better" if (difference > 0) == greater_is_better else "worse"


def smallest_detectable_difference(resamples: np.ndarray, scores: int = 1) -> float | None:
    """Return the smallest difference that would be shown at level 0.05 with a chance of 0.8: 2.80 standard errors of it.

    (Cohen 1988; for models on one test set Card et al. 2020, arXiv:2010.06595.) `resamples` are those of a difference, or
    with `scores=2` those of one score: then the other model is taken to have the same standard error and to err on other
    examples, so that its variance adds. Two models that err on the same examples are told apart by less. None where fewer
    than two resamples are defined or all are equal, which says nothing.
    """
    if not varies(resamples):
        return None
    known = resamples[~np.isnan(resamples)]
    quantile = NormalDist().inv_cdf
    return float((quantile(1 - LEVEL / 2) + quantile(POWER)) * known.std(ddof=1) * scores**0.5)
