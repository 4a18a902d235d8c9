"""Significance tests against values computed by hand and by scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, norm, pearsonr
from statsmodels.stats.multitest import multipletests

from ft_toolkit.evaluation.statistics.scores import Scores, score_interval
from ft_toolkit.evaluation.statistics.significance import (
    PairedScores,
    bootstrap_p,
    detectable_difference,
    difference_interval,
    enough_resamples,
    holm,
    judge_interval,
    pair_scores,
    smallest_detectable_difference,
)
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text.label_scores import label_metrics

ACCURACY = Metric(lambda p, r: float((p == r).mean()), is_mean=True)


@pytest.mark.parametrize("comparisons", [1, 2, 5])
@pytest.mark.parametrize("samples", [1000, 1999, 2000])
def test_a_bootstrap_interval_excludes_zero_exactly_when_its_p_value_is_small(comparisons, samples):
    rng = np.random.default_rng(0)
    outcomes = set()
    for shift in np.linspace(0, 4, 81):
        interval = difference_interval(PairedScores(shift, rng.normal(shift, 1, samples)), comparisons=comparisons)
        shown = judge_interval(interval.low, interval.high, greater_is_better=True) == "better"
        assert shown == (interval.corrected <= 0.05)
        outcomes.add(shown)
    assert outcomes == {True, False}
    assert interval.level == pytest.approx(1 - 0.05 / comparisons)


@pytest.mark.parametrize("comparisons", [1, 5])
def test_the_interval_of_paired_shares_excludes_zero_exactly_when_its_p_value_is_small(comparisons):
    for b in range(25):
        for c in range(25):
            pair = PairedScores((b - c) / 60, np.zeros(9), (b, c, 60))
            interval = difference_interval(pair, comparisons=comparisons)
            outcome = judge_interval(interval.low, interval.high, greater_is_better=True)
            assert (outcome != "no significant difference") == (interval.corrected < 0.05)


def test_shares_of_right_examples_and_means_of_fractions_are_compared_differently():
    ones, half = np.ones(40), np.repeat([1.0, 0.0], 20)
    zeros = np.zeros(40)
    share = pair_scores(ACCURACY, (half, ones), (zeros, ones), lambda: np.full(9, 0.5))
    assert share.counts == (20, 0, 40)
    fraction = Metric(lambda p, r: float(p.mean()), is_mean=True)
    assert pair_scores(fraction, (half / 2, ones), (zeros, ones), lambda: np.full(9, 0.25)).counts is None
    assert difference_interval(share).test == "score test for paired shares"


def test_no_difference_is_shown_when_no_row_differs_and_float_noise_is_none():
    assert judge_interval(*_ends(PairedScores(0.0, np.zeros(99), (0, 0, 10))), greater_is_better=True) == (
        "no significant difference"
    )
    assert judge_interval(1e-17, 0.3, greater_is_better=True) == "no significant difference"
    assert judge_interval(0.01, 0.3, greater_is_better=True) == "better"
    assert judge_interval(0.01, 0.3, greater_is_better=False) == "worse"
    assert judge_interval(-0.2, -0.1, greater_is_better=True) == "worse"
    assert judge_interval(None, None, greater_is_better=True) == "unknown"
    assert _ends(PairedScores(float("nan"), np.full(9, np.nan))) == (None, None)


def _ends(pair):
    interval = difference_interval(pair)
    return interval.low, interval.high


def test_bootstrap_p():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 1.9, 2.1, 4.0):
        assert bootstrap_p(rng.normal(shift, 1, 20_000)) == pytest.approx(2 * norm.sf(shift), abs=0.02)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.ones(99)) == 2 / 100


def test_more_comparisons_draw_more_resamples():
    assert (enough_resamples(1000, 1), enough_resamples(100, 3)) == (1000, 600)


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


def test_the_detectable_difference_accounts_for_the_number_of_comparisons():
    pair = PairedScores(0.05, np.zeros(9), (30, 20, 200))
    spread = (50 / 200 - 0.05**2) ** 0.5 / 200**0.5
    assert detectable_difference(pair) == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * spread)
    assert detectable_difference(pair, 5) == pytest.approx((norm.ppf(0.995) + norm.ppf(0.8)) * spread)
    assert detectable_difference(PairedScores(0.0, np.zeros(9), (0, 0, 200))) is None


def test_scores_have_their_smallest_detectable_difference():
    """About 0.2 for 50 examples at 0.84: 3.96 times the square root of 0.84 * 0.16 / 50."""
    right = np.arange(50) >= 8
    metric = {"accuracy": ACCURACY}
    moved = resample({"accuracy": metric["accuracy"].fn}, right.astype(int), np.ones(50, int), samples=4000, seed=0)
    found = Scores(50, metric, {"accuracy": 0.84}, moved, {}, right, right).metrics()["accuracy"]
    assert found["detectable"] == pytest.approx(3.962 * (0.84 * 0.16 / 50) ** 0.5, rel=0.05)
    perfect = Scores(50, metric, {"accuracy": 1.0}, {"accuracy": np.ones(100)}, {}, right, right).metrics()["accuracy"]
    assert perfect["detectable"] is None


@pytest.mark.parametrize("best", [1.0, 100.0])
@pytest.mark.parametrize("hits", [0, 1, 19, 20])
def test_a_share_of_right_examples_has_wilsons_interval(best, hits):
    expected = binomtest(hits, 20).proportion_ci(method="wilson")
    metric = Metric(lambda p, r: float(best * (p == r).mean()), best=best, is_mean=True)
    interval = score_interval(metric, (np.arange(20) < hits).astype(float), np.ones(20), np.full(100, hits / 20))
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low * best, expected.high * best), abs=1e-6)


def test_fewer_right_examples_never_have_a_higher_lower_end():
    def low(hits):
        right, ones = (np.arange(50) < hits).astype(float), np.ones(50)
        resamples = resample({"": ACCURACY.fn}, right, ones, samples=300, seed=0)[""]
        return score_interval(ACCURACY, right, ones, resamples)["low"]

    assert low(48) < low(49) < low(50)


def test_other_scores_have_percentiles_and_none_if_they_cannot_vary():
    metric, arrays = Metric(lambda p, r: float(p.mean())), (np.linspace(0, 1, 60), np.ones(60))
    assert score_interval(metric, *arrays, np.ones(100)) == {"low": None, "high": None}
    assert score_interval(metric, *arrays, np.full(100, np.nan)) == {"low": None, "high": None}
    assert score_interval(metric, *arrays, np.linspace(0, 1, 101)) == pytest.approx({"low": 0.025, "high": 0.975})


def test_few_examples_have_the_bca_interval_of_scipy():
    rng = np.random.default_rng(2)
    values = rng.exponential(1, 30)
    metric = Metric(lambda p, r: float(p.std()))
    resamples = resample({"": metric.fn}, values, values, samples=20_000, seed=0)[""]
    expected = bootstrap((values,), np.std, n_resamples=20_000, method="BCa", rng=rng).confidence_interval
    interval = score_interval(metric, values, values, resamples)
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high), rel=0.03)
    percentiles = np.quantile(resamples, [0.025, 0.975])
    assert interval["high"] > percentiles[1] * 1.05
    more = np.concatenate([values, values])
    shifted = percentiles + 2 * (more.std() - resamples.mean())
    interval = score_interval(metric, more, more, resamples)
    assert (interval["low"], interval["high"]) == pytest.approx(tuple(shifted))


def test_a_correlation_has_the_fisher_interval_of_scipy():
    rng = np.random.default_rng(3)
    x = rng.standard_normal(40)
    y = x + rng.standard_normal(40)
    expected = pearsonr(x, y).confidence_interval()
    interval = score_interval(label_metrics("regression")["pearson"], x, y, np.zeros(9))
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert score_interval(label_metrics("regression")["pearson"], x, x, np.zeros(9)) == {"low": None, "high": None}


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5, 0.001], [0.02], [0.03, 0.03, 0.9, 0.012, 0.2], []])
def test_holm_is_that_of_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == pytest.approx(list(expected))
