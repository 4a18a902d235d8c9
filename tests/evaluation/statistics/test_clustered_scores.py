"""One rule for rows that belong together: intervals and differences resample groups, everywhere."""

import numpy as np
import pytest

from ft_toolkit.evaluation.statistics.scores import score_interval
from ft_toolkit.evaluation.statistics.significance import (
    CLUSTER_BOOTSTRAP,
    JACKKNIFE,
    SHARE_TEST,
    detectable_difference,
    difference_interval,
    judge_interval,
    pair_scores,
)
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import find_clusters
from ft_toolkit.tasks.text.label_scores import label_metrics

METRICS = label_metrics("single_label_classification")


def clustered(n_clusters, rows, share, seed=0):
    """Return whether each row is right: all rows of a cluster are, or none."""
    rng = np.random.default_rng(seed)
    right = np.repeat(rng.random(n_clusters) < share, rows).astype(int)
    return right, find_clusters("doc", np.repeat(np.arange(n_clusters), rows))


def interval(metric, right, clusters):
    ones = np.ones(len(right), int)
    values = resample({"m": metric.fn}, right, ones, samples=400, seed=0, clusters=clusters)["m"]
    ends = score_interval(metric, right, ones, values, clusters)
    return ends["low"], ends["high"]


@pytest.mark.parametrize("n_clusters", [12, 60])
def test_rows_that_are_copies_of_each_other_count_once(n_clusters):
    metric = METRICS["accuracy"]
    right, clusters = clustered(n_clusters, 15, 0.6)
    low, high = interval(metric, right, clusters)
    plain_low, plain_high = interval(metric, right, None)
    # 15 copies of each row: the true standard error is the square root of 15 times larger
    assert (high - low) / (plain_high - plain_low) == pytest.approx(15**0.5, rel=0.2)
    assert low < right.mean() < high


@pytest.mark.parametrize("n_clusters", [8, 50])
def test_a_perfect_score_has_an_interval_that_counts_groups(n_clusters):
    right, clusters = clustered(n_clusters, 10, 2.0)
    low, high = interval(METRICS["accuracy"], right, clusters)
    assert high == 1 and low == pytest.approx(1 - 3.84 / (n_clusters + 3.84), abs=0.01)


@pytest.mark.parametrize(("n_clusters", "test"), [(10, JACKKNIFE), (40, CLUSTER_BOOTSTRAP)])
def test_a_difference_in_few_groups_is_not_significant(n_clusters, test):
    metric = METRICS["accuracy"]
    base, clusters = clustered(n_clusters, 20, 0.7)
    model = base.copy()
    wrong = [members for members in clusters.members if not base[members].any()][:2]
    for members in wrong:  # the model is right on two more documents, with 20 rows each
        model[members] = 1
    ones = np.ones(len(base), int)

    def pair_with(each):
        drawn = [
            resample({"m": metric.fn}, right, ones, samples=1000, seed=0, clusters=each)["m"] for right in (model, base)
        ]
        return pair_scores(metric, (model, ones), (base, ones), lambda: drawn[0] - drawn[1], each)

    plain, grouped = difference_interval(pair_with(None)), difference_interval(pair_with(clusters))
    assert judge_interval(plain.low, plain.high, greater_is_better=True) == "better" and plain.test == SHARE_TEST
    assert judge_interval(grouped.low, grouped.high, greater_is_better=True) == "no significant difference"
    assert grouped.test == test and (grouped.p <= 0.05) == (grouped.low > 0)
    assert detectable_difference(pair_with(clusters)) > 3 * detectable_difference(pair_with(None))


def test_two_equal_models_have_an_interval_with_a_width():
    right, clusters = clustered(10, 10, 0.5)
    ones = np.ones(len(right), int)
    metric = METRICS["accuracy"]
    ends = difference_interval(pair_scores(metric, (right, ones), (right, ones), lambda: np.zeros(9), clusters))
    assert ends.low < 0 < ends.high and ends.high > 0.1 and ends.test == SHARE_TEST


@pytest.mark.parametrize("n_clusters", [4, 40])
def test_a_difference_that_is_equal_in_all_groups_has_an_interval_that_counts_groups(n_clusters):
    clusters = find_clusters("doc", np.repeat(np.arange(n_clusters), 6))
    ones = np.ones(6 * n_clusters, int)
    half = np.tile([0, 0, 0, 1, 1, 1], n_clusters)
    pair = pair_scores(METRICS["accuracy"], (ones, ones), (half, ones), lambda: np.full(50, 0.5), clusters)
    ends = difference_interval(pair)
    assert ends.test == SHARE_TEST and ends.low < 0.5 < ends.high
    assert (ends.low > 0) == (n_clusters == 40) and detectable_difference(pair) > 0
