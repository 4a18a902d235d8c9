"""Intervals of scores: an interval of width 0 would claim certainty, so it is left out."""

import numpy as np
import pytest

from ft_toolkit.evaluation.statistics.scores import score_interval, varying_interval
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.classification import averaged, matthews_correlation
from ft_toolkit.metrics.metric import Metric


def test_a_perfect_score_that_a_few_resamples_cannot_compute_has_no_interval():
    labels = np.array([0] * 8 + [1] * 4)
    metric = Metric(matthews_correlation)
    resamples = resample({"m": metric.fn}, labels, labels, samples=1000, seed=13)["m"]
    # Some resamples hold one class only: their correlation is 0 by definition, that of all others is 1.
    assert set(resamples) == {0.0, 1.0} and (resamples == 0).mean() < 0.05
    assert score_interval(metric, labels, labels, resamples) == {"low": None, "high": None}


def test_an_interval_between_equal_quantiles_is_left_out():
    assert varying_interval(np.array([0.5] * 99 + [0.7])) == {"low": None, "high": None}
    assert varying_interval(np.array([0.5] * 50 + [0.7] * 50)) == {"low": 0.5, "high": 0.7}


def test_the_interval_of_macro_f1_is_shifted_by_twice_its_bias():
    rng = np.random.default_rng(5)
    references = rng.integers(0, 60, 200)
    predictions = np.where(rng.random(200) < 0.8, references, rng.integers(0, 60, 200))
    metric = Metric(averaged("f1", "macro"), is_share=True, is_macro=True)
    resamples = resample({"m": metric.fn}, predictions, references, samples=200, seed=13)["m"]
    value, (low, high) = metric.fn(predictions, references), np.quantile(resamples, [0.025, 0.975])
    bias = value - resamples.mean()
    assert bias > 0.03  # resamples have fewer rows for some classes: they are too low
    shifted = score_interval(metric, predictions, references, resamples)
    assert shifted == {"low": pytest.approx(low + 2 * bias), "high": pytest.approx(min(1.0, high + 2 * bias))}


@pytest.mark.parametrize(("correct", "ends"), [(1.0, (None, None)), (0.97, (0.5, 1.0))])
def test_the_interval_of_a_share_stays_within_its_range(correct: float, ends: tuple[float | None, float | None]):
    rng = np.random.default_rng(5)
    references = rng.integers(0, 40, 120)
    predictions = np.where(rng.random(120) < correct, references, 0)
    metric = Metric(averaged("f1", "macro"), is_share=True, is_macro=True)
    resamples = resample({"m": metric.fn}, predictions, references, samples=200, seed=13)["m"]
    interval = score_interval(metric, predictions, references, resamples)
    if ends[0] is None:
        assert interval == {"low": None, "high": None}
    else:
        assert 0 <= ends[0] < interval["low"] < metric.fn(predictions, references) <= interval["high"] <= 1
