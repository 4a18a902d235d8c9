"""Differences between two models on the same examples: interval, p-value, and one rule for significance.

A difference is significant exactly when its printed interval excludes 0. With several differences, such as one metric
of several runs against the same base, the intervals are simultaneous (Bonferroni): all of them contain their true difference
with a probability of 95%.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from ft_toolkit.evaluation.statistics.paired_shares import score_test_p, tango
from ft_toolkit.evaluation.statistics.shares import right_examples
from ft_toolkit.metrics.bootstrap import varies
from ft_toolkit.metrics.clusters import Clusters, Jackknife
from ft_toolkit.metrics.metric import Metric

LEVEL = 0.05
POWER = 0.8
# Two values that are closer than this are equal: sums of the same numbers in another order differ by less.
TOLERANCE = 1e-9
SHARE_TEST = "score test for paired shares"
BOOTSTRAP = "paired bootstrap"
CLUSTER_BOOTSTRAP = "paired bootstrap of groups"
JACKKNIFE = "paired jackknife of groups with Student's t"

Outcome = Literal["better", "worse", "no significant difference", "unknown"]
# Predictions and references of the same examples, shape (n, ...).
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PairedScores:
    """The score of a model minus the score of the base on the same examples.

    `resampled` holds the difference on bootstrap resamples that both models share, shape (samples,). For a share of right
    examples, `counts` holds the number of examples that only the model and only the base has right, and the number of
    examples; it is None for other metrics. `best` is the best value of the metric. With clusters, whole clusters are resampled
    and there are no counts; on few clusters, `left_out` holds the difference without each cluster, shape (clusters,).
    """

    difference: float
    resampled: np.ndarray
    counts: tuple[float, float, int] | None = None
    best: float = 1.0
    is_clustered: bool = False
    left_out: np.ndarray | None = None

    @property
    def jackknife(self) -> Jackknife | None:
        """The jackknife over clusters, None if the bootstrap or counts are used."""
        return None if self.left_out is None else Jackknife(self.difference, self.left_out)


@dataclass(frozen=True)
class DifferenceInterval:
    """The interval of a difference; the ends and `p` are None if the difference is undefined.

    `level` is the confidence level, such as 0.95. `p` is the two-sided p-value of `test` for a difference of 0, corrected for
    the number of comparisons: the interval excludes 0 exactly when `p` is at most 1 minus the level of the family.
    """

    low: float | None
    high: float | None
    level: float
    test: str
    p: float | None
    corrected: float | None


def pair_scores(
    metric: Metric,
    model: Arrays,
    base: Arrays,
    resample: Callable[[], np.ndarray],
    clusters: Clusters | None = None,
) -> PairedScores:
    """Return the difference of two scores; both pairs of arrays hold the same examples in the same order.

    `resample` returns the difference on bootstrap resamples, of the clusters if there are any. It is not called for a share of
    right examples without clusters.
    """
    difference = metric.fn(*model) - metric.fn(*base)
    if clusters is None:
        counts = paired_counts(right_examples(metric, *model), right_examples(metric, *base))
        return PairedScores(difference, resample() if counts is None else np.array([]), counts, metric.best)

    def without(rows: np.ndarray) -> float:
        model_score, base_score = (metric.fn(arrays[0][rows], arrays[1][rows]) for arrays in (model, base))
        return model_score - base_score

    best = metric.best if metric.is_mean else None
    return pair_clustered(difference, resample(), best, clusters, without)


def pair_clustered(
    difference: float,
    resampled: np.ndarray,
    best: float | None,
    clusters: Clusters,
    without: Callable[[np.ndarray], float],
) -> PairedScores:
    """Return the difference of two scores on clusters. `without` returns it on some examples, given by their positions.

    `best` is the best value of a metric that is a mean over examples, None for other metrics. If a mean differs by the same
    amount in all clusters, such as 0, neither resamples nor the jackknife vary, but the difference is not certain: it is
    treated as a difference of shares with one example per cluster.
    """
    left_out = clusters.left_out(without) if clusters.are_few else None
    values = resampled if left_out is None else left_out
    if best is not None and np.ptp(values) <= TOLERANCE:
        share = difference / best * clusters.n
        return PairedScores(difference, np.array([]), (max(share, 0.0), max(-share, 0.0), clusters.n), best)
    return PairedScores(difference, resampled, None, best or 1.0, is_clustered=True, left_out=left_out)


def paired_counts(model: np.ndarray | None, base: np.ndarray | None) -> tuple[int, int, int] | None:
    """Return the number of examples that only the model and only the base has right, and the number of examples.

    Both arrays have shape (n,) and type bool; the result is None if one of the scores is not a share of right examples.
    """
    if model is None or base is None:
        return None
    return int((model & ~base).sum()), int((base & ~model).sum()), len(model)


def difference_interval(pair: PairedScores, *, comparisons: int = 1, tail: float = LEVEL / 2) -> DifferenceInterval:
    """Return the interval of a difference, one of `comparisons` that are made together.

    `tail` is the probability that all true differences are above, or below, their intervals; it is divided by the number of
    comparisons. A share of right examples has Tango's score interval, any other metric the percentile interval of the paired
    bootstrap. On clusters, all metrics have the bootstrap of the clusters or, if there are few, the jackknife's t interval. All
    agree with their p-values.
    """
    tail_of_one = tail / comparisons
    level = 1 - 2 * tail_of_one
    if pair.counts is not None:
        low, high = (pair.best * end for end in tango(*pair.counts, tail=tail_of_one))
        p = score_test_p(*pair.counts)
        return DifferenceInterval(low, high, level, SHARE_TEST, p, min(1.0, comparisons * p))
    if (jackknife := pair.jackknife) is not None:
        ends = jackknife.interval(tail_of_one)
        if ends is None:
            return DifferenceInterval(None, None, level, JACKKNIFE, None, None)
        return DifferenceInterval(*ends, level, JACKKNIFE, jackknife.p, min(1.0, comparisons * jackknife.p))
    test = CLUSTER_BOOTSTRAP if pair.is_clustered else BOOTSTRAP
    resampled = np.sort(pair.resampled[~np.isnan(pair.resampled)])
    if not len(resampled) or math.isnan(pair.difference):
        return DifferenceInterval(None, None, level, test, None, None)
    # Order statistics instead of interpolated quantiles: the interval then excludes 0 exactly when p is small enough.
    rank = max(1, math.floor(tail_of_one * (len(resampled) + 1) + TOLERANCE))
    low, high = float(resampled[rank - 1]), float(resampled[-rank])
    p = bootstrap_p(resampled)
    return DifferenceInterval(low, high, level, test, p, min(1.0, comparisons * p))


def bootstrap_p(resampled: np.ndarray) -> float:
    """Return the two-sided p-value of resampled differences: the smallest level whose percentile interval excludes 0.

    It is at least 2 / (resamples + 1). See Efron and Tibshirani 1993, chapter 15.
    """
    tail = min(int((resampled <= TOLERANCE).sum()), int((resampled >= -TOLERANCE).sum()))
    return min(1.0, 2 * (tail + 1) / (len(resampled) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of tests that are made together, corrected for their number (Holm 1979), in the same order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def enough_resamples(samples: int, comparisons: int) -> int:
    """Return the number of resamples to draw: `samples`; for several comparisons at least 200 for each.

    Each tail of a simultaneous interval then holds 5 values.
    """
    return samples if comparisons < 2 else max(samples, 200 * comparisons)


def judge_interval(low: float | None, high: float | None, *, greater_is_better: bool) -> Outcome:
    """Return the outcome for the interval of a score minus the score of the base: significant if it excludes 0."""
    if low is None or high is None:
        return "unknown"
    if low <= TOLERANCE and high >= -TOLERANCE:
        return "no significant difference"
    return "better" if (low > 0) == greater_is_better else "worse"


def detectable_difference(pair: PairedScores, comparisons: int = 1) -> float | None:
    """Return the smallest detectable difference (80% power), one of `comparisons`, from the spread of this pair.

    Returns None if the two models agree on all examples or resamples.
    """
    if (jackknife := pair.jackknife) is not None:
        return _in_standard_errors(comparisons) * jackknife.error if jackknife.error > 0 else None
    if pair.counts is None:
        return smallest_detectable_difference(pair.resampled, comparisons=comparisons)
    only_model, only_base, n = pair.counts
    if not only_model + only_base:
        return None
    variance = (only_model + only_base - (only_model - only_base) ** 2 / n) / n**2
    return _in_standard_errors(comparisons) * pair.best * math.sqrt(variance) or None


def smallest_detectable_difference(resamples: np.ndarray, scores: int = 1, comparisons: int = 1) -> float | None:
    """Return the smallest difference that is significant at the 5% level with a power of 80%.

    For one comparison it is 2.80 standard errors. `resamples` are bootstrap resamples of a difference, or with `scores=2` of
    one score. In the second case the other model is assumed to have the same standard error and independent errors, so the
    variance doubles; models that err on the same examples have a smaller detectable difference. Returns None if fewer than two
    resamples are defined or all are equal.

    See Cohen 1988, and Card et al. 2020 (arXiv:2010.06595) for models on one test set.
    """
    if not varies(resamples):
        return None
    defined = resamples[~np.isnan(resamples)]
    return float(_in_standard_errors(comparisons) * defined.std(ddof=1) * scores**0.5)


def _in_standard_errors(comparisons: int) -> float:
    quantile = NormalDist().inv_cdf
    return quantile(1 - LEVEL / 2 / comparisons) + quantile(POWER)
