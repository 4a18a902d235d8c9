"""Resampling and jackknife of clusters."""

import math

import numpy as np
import pytest

from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import Clusters, Jackknife, draw_examples, find_clusters, intraclass_correlation


def mean(predictions, references):
    return float(predictions.mean())


def test_whole_clusters_are_drawn():
    clusters = find_clusters("doc", np.array([5, 5, 5, 2, 2, 9]))
    assert [members.tolist() for members in clusters.members] == [[3, 4], [0, 1, 2], [5]]
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = draw_examples(rng, 6, clusters).tolist()
        counts = [drawn.count(i) for i in range(6)]
        assert counts[0] == counts[1] == counts[2] and counts[3] == counts[4]
        assert counts[0] + counts[3] + counts[5] == 3


def test_single_rows_and_a_single_group_are_no_clusters():
    assert find_clusters("doc", np.arange(5)) is None
    assert find_clusters("doc", np.zeros(5)) is None
    clusters = find_clusters("doc", np.array([0, 0, 1, 1]))
    assert clusters.of(np.array([0, 2])) is None and clusters.of(np.array([True, True, False, False])) is None
    assert clusters.of(np.array([0, 1, 2])).n == 2


def test_resamples_of_clusters_vary_as_their_means_do():
    rng = np.random.default_rng(1)
    effects = rng.standard_normal(200)
    values, numbers = np.repeat(effects, 10), np.repeat(np.arange(200), 10)
    clusters = Clusters("doc", numbers)
    for each, expected in ((clusters, effects.std() / math.sqrt(200)), (None, effects.std() / math.sqrt(2000))):
        drawn = resample({"m": mean}, values, values, samples=600, seed=0, clusters=each)["m"]
        assert drawn.std() == pytest.approx(expected, rel=0.12)


def test_without_clusters_the_resamples_are_those_of_earlier_versions():
    values = np.arange(10.0)
    rng = np.random.default_rng(13)
    expected = [values[rng.integers(0, 10, 10)].mean() for _ in range(5)]
    assert resample({"m": mean}, values, values, samples=5, seed=13)["m"].tolist() == expected


def test_the_jackknife_of_a_mean_is_the_t_interval_of_the_cluster_means():
    stats = pytest.importorskip("scipy.stats")
    values = np.array([1.0, 2.0, 4.0, 7.0, 11.0])
    clusters = Clusters("doc", np.repeat(np.arange(5), 3))
    repeated = np.repeat(values, 3)
    jackknife = Jackknife(repeated.mean(), clusters.left_out(lambda rows: repeated[rows].mean()))
    expected = stats.ttest_1samp(values, 0.0)
    assert jackknife.interval(0.025) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert jackknife.p == pytest.approx(expected.pvalue)


def test_the_interval_of_a_share_is_inside_0_and_1():
    jackknife = Jackknife(0.96, np.array([0.95, 0.97, 0.98, 0.94]))
    low, high = jackknife.share_interval(0.025, 1.0)
    assert 0.7 < low < 0.96 < high < 1
    assert jackknife.interval(0.025)[1] > 1
    for score in (0.0, 1.0):
        assert Jackknife(score, np.array([score, score])).share_interval(0.025, 1.0) is None
    assert Jackknife(0.5, np.array([0.5, np.nan])).interval(0.025) is None


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5, 1.0])
def test_the_intraclass_correlation_is_that_of_the_simulation(correlation):
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 20, 400)
    effects = np.repeat(rng.standard_normal(400) * math.sqrt(correlation), sizes)
    values = effects + rng.standard_normal(sizes.sum()) * math.sqrt(1 - correlation)
    estimate, error = intraclass_correlation(values, Clusters("doc", np.repeat(np.arange(400), sizes)))
    assert estimate == pytest.approx(correlation, abs=3 * error + 1e-9) and error < 0.05
