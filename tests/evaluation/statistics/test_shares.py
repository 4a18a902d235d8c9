"""Intervals of shares against scipy, published examples, and their own simulations."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from ft_toolkit.evaluation.statistics.shares import newcombe, right_examples, score_test_p, tango, wilson
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


def test_tango_by_its_definition():
    """The ends are where a test with the likeliest shares under the hypothesis, found numerically, has |z| = 1.96."""
    b, c, n = 12, 4, 60
    for end in tango(b, c, n):
        shares = np.linspace(max(0, -end), (1 - end) / 2, 200_001)[1:-1]
        log_likelihood = b * np.log(shares + end) + c * np.log(shares) + (n - b - c) * np.log(1 - end - 2 * shares)
        share = shares[log_likelihood.argmax()]
        z = (b - c - n * end) / np.sqrt(n * (2 * share + end - end**2))
        assert abs(z) == pytest.approx(norm.ppf(0.975), abs=1e-3)
    assert tango(c, b, n) == pytest.approx(tuple(-end for end in reversed(tango(b, c, n))), abs=1e-9)


def test_tango_has_a_width_where_no_row_differs():
    z = norm.ppf(0.975)
    assert tango(0, 0, 10) == pytest.approx((-(z**2) / (10 + z**2), z**2 / (10 + z**2)), abs=1e-9)
    assert tango(10, 0, 10)[1] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("tail", [0.025, 0.005])
def test_tango_excludes_zero_exactly_when_the_test_is_significant(tail):
    for b in range(20):
        for c in range(20):
            low, high = tango(b, c, 40, tail=tail)
            assert (low > 1e-9 or high < -1e-9) == (score_test_p(b, c) < 2 * tail)


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


@pytest.mark.parametrize(("only_one", "only_other"), [(10, 3), (1, 9), (25, 25), (40, 22)])
def test_the_test_of_paired_shares_is_mcnemars_in_statsmodels(only_one, only_other):
    expected = mcnemar([[50, only_one], [only_other, 50]], exact=False, correction=False).pvalue
    assert score_test_p(only_one, only_other) == pytest.approx(expected)
