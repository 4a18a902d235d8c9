"""Intervals of shares against scipy, published examples, and their own simulations."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

from ft_toolkit.evaluation.statistics.shares import clustered_wilson, newcombe, right_examples, wilson
from ft_toolkit.metrics.clusters import Clusters
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text.label_scores import label_metrics


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (49, 50), (50, 50), (900, 1000)])
@pytest.mark.parametrize("tail", [0.05, 0.025, 0.005])
def test_wilson_is_scipys(hits, n, tail):
    expected = binomtest(hits, n).proportion_ci(1 - 2 * tail, method="wilson")
    assert wilson(hits, n, tail=tail) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_ends_of_wilsons_interval_are_exact_at_0_and_1():
    assert all(wilson(0, n)[0] == 0.0 and wilson(n, n)[1] == 1.0 for n in range(1, 300))


def test_one_more_right_example_never_lowers_an_end():
    ends = np.array([wilson(hits, 50) for hits in range(51)])
    assert (np.diff(ends, axis=0) > 0).all()


def test_newcombe_published_example():
    """Newcombe 1998, table II: 56/70 and 48/80 give 0.0524 to 0.3339."""
    assert newcombe((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe((10, 0), (10, 10)) == pytest.approx((0.6075, 1.0), abs=1e-4)


def test_only_a_share_of_right_examples_has_right_examples():
    metrics = label_metrics("single_label_classification")
    predictions, references = np.array([1, 0, 2, 2]), np.array([1, 1, 2, 0])
    for name in ("accuracy", "f1_micro"):
        assert right_examples(metrics[name], predictions, references).tolist() == [True, False, True, False]
    assert right_examples(metrics["f1_macro"], references, references) is None
    fraction = Metric(lambda p, r: float(p.mean()), is_mean=True)
    assert right_examples(fraction, np.array([1.0, 0.5]), np.ones(2)) is None
    percent = Metric(lambda p, r: float(100 * p.mean()), best=100.0, is_mean=True)
    assert right_examples(percent, np.array([1.0, 0.0]), np.ones(2)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("hits", "n"), [((56, 48), (70, 80)), ((9, 3), (10, 12)), ((150, 141), (200, 190)), ((0, 5), (20, 30))]
)
def test_newcombe_is_that_of_statsmodels(hits, n):
    expected = confint_proportions_2indep(hits[0], n[0], hits[1], n[1], method="newcomb", compare="diff")
    assert newcombe(hits, n) == pytest.approx(expected, abs=1e-9)


def test_a_share_in_clusters_has_the_interval_of_the_clusters():
    right, weights = np.repeat([1.0, 0.0, 1.0, 1.0], 10), np.ones(40)
    low, high = clustered_wilson(right, weights, Clusters("document", np.repeat(np.arange(4), 10)))
    assert low < wilson(3, 4)[0] and high > wilson(30, 40)[1]
    assert clustered_wilson(right, weights, Clusters("document", np.arange(40))) == wilson(30, 40)
    assert clustered_wilson(weights, weights, Clusters("document", np.repeat(np.arange(4), 10))) == wilson(4, 4)
