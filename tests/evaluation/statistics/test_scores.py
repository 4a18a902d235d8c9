"""Intervals of scores: an interval of width 0 would claim certainty, so it is left out."""

import numpy as np

from ft_toolkit.evaluation.statistics.scores import score_interval, varying_interval
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.classification import matthews_correlation
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
