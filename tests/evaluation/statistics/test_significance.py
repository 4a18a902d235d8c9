"""Significance tests against values computed by hand and by scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from ft_toolkit.evaluation.statistics.scores import Scores, score_interval
from ft_toolkit.evaluation.statistics.significance import (
    bootstrap_p,
    holm,
    judge_difference,
    mcnemar,
    smallest_detectable_difference,
)
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.metric import Metric


def test_mcnemar_by_hand():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == 2 / 32
    assert mcnemar(1, 5) == 2 * (1 + 6) / 64
    assert mcnemar(3, 3) == 1.0


@pytest.mark.parametrize(("b", "c"), [(1, 9), (12, 30), (56, 57), (400, 520), (3000, 3300)])
def test_mcnemar_is_the_two_sided_binomial_test(b, c):
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(binomtest(b, b + c, 0.5).pvalue, rel=1e-9)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.04, None, 0.03]) == [0.06, None, 0.06]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_bootstrap_p_inverts_the_percentile_interval():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 1.9, 2.1, 4.0):
        found = rng.normal(shift, 1, 20_000)
        p = bootstrap_p(found)
        assert p == pytest.approx(2 * norm.sf(shift), abs=0.02)
        assert (p < 0.05) == (np.quantile(found, 0.025) > 0)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.ones(99)) == 2 / 100
    assert bootstrap_p(np.full(9, np.nan)) is None


def test_the_smallest_detectable_difference_has_80_percent_power():
    rng = np.random.default_rng(1)
    found = smallest_detectable_difference(rng.normal(0, 0.1, 100_000))
    assert found == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * 0.1, rel=0.01)
    shown = np.abs(rng.normal(found, 0.1, 50_000)) > norm.ppf(0.975) * 0.1
    assert shown.mean() == pytest.approx(0.8, abs=0.01)
    assert smallest_detectable_difference(rng.normal(0, 0.1, 100_000), scores=2) == pytest.approx(
        found * 2**0.5, rel=0.01
    )
    assert smallest_detectable_difference(np.ones(100)) is None
    assert smallest_detectable_difference(np.array([np.nan, 0.5])) is None


def test_only_a_small_corrected_p_value_is_significant():
    assert judge_difference(0.1, 0.049, greater_is_better=True) == "better"
    assert judge_difference(0.1, 0.049, greater_is_better=False) == "worse"
    assert judge_difference(0.1, 0.05, greater_is_better=True) == "no significant difference"
    assert judge_difference(float("nan"), 0.01, greater_is_better=True) == "unknown"


def test_scores_have_their_smallest_detectable_difference():
    """About 0.2 for 50 examples at 0.84: 3.96 times the square root of 0.84 * 0.16 / 50."""
    right = np.arange(50) >= 8
    metric = {"accuracy": Metric(lambda p, r: float((p == r).mean()), is_mean=True)}
    moved = resample({"accuracy": metric["accuracy"].fn}, right.astype(int), np.ones(50, int), samples=4000, seed=0)
    found = Scores(50, metric, {"accuracy": 0.84}, moved, {}, right, right).metrics()["accuracy"]
    assert found["detectable"] == pytest.approx(3.962 * (0.84 * 0.16 / 50) ** 0.5, rel=0.05)
    perfect = Scores(50, metric, {"accuracy": 1.0}, {"accuracy": np.ones(100)}, {}, right, right).metrics()["accuracy"]
    assert perfect["detectable"] is None


@pytest.mark.parametrize(
    ("value", "best", "hits"), [(1.0, 1.0, 20), (0.0, 1.0, 0), (100.0, 100.0, 20), (0.0, 100.0, 0)]
)
def test_a_mean_with_equal_resamples_has_wilsons_interval(value, best, hits):
    expected = binomtest(hits, 20).proportion_ci(method="wilson")
    found = score_interval(np.full(100, value), Metric(np.mean, best=best, is_mean=True), 20)
    assert (found["low"], found["high"]) == pytest.approx((expected.low * best, expected.high * best), abs=1e-6)


@pytest.mark.parametrize("metric", [None, Metric(np.mean), Metric(np.mean, best=2.0, is_mean=True)])
def test_other_scores_with_equal_resamples_have_no_interval(metric):
    assert score_interval(np.ones(100), metric, 20) == {"low": None, "high": None}
    assert score_interval(np.full(100, np.nan), metric, 20) == {"low": None, "high": None}
    assert score_interval(np.linspace(0, 1, 101), metric, 20) == pytest.approx({"low": 0.025, "high": 0.975})
