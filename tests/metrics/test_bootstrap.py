"""Bootstrap intervals: reproducible, around the value, of about the right width, and without undefined values."""

import math

import numpy as np
import pytest

from ft_toolkit.metrics.bootstrap import central_95, resample
from ft_toolkit.metrics.classification import accuracy, averaged, matthews_correlation
from ft_toolkit.metrics.regression import mean_absolute_error, pearson

METRICS = {"accuracy": accuracy, "f1_macro": averaged("f1", "macro"), "matthews": matthews_correlation}


def noisy(n, share_right, seed, n_labels=3):
    rng = np.random.default_rng(seed)
    references = rng.integers(0, n_labels, n)
    predictions = np.where(rng.random(n) < share_right, references, (references + 1) % n_labels)
    return predictions, references


def test_the_resamples_depend_only_on_the_seed():
    predictions, references = noisy(100, 0.8, 0)
    first = resample(METRICS, predictions, references, samples=50, seed=13)
    np.random.seed(5)
    again = resample(METRICS, predictions, references, samples=50, seed=13)
    other = resample(METRICS, predictions, references, samples=50, seed=14)
    for name in METRICS:
        assert first[name].shape == (50,)
        assert (first[name] == again[name]).all()
        assert (first[name] != other[name]).any()


def test_a_metric_gets_the_same_resamples_alone_and_with_others():
    predictions, references = noisy(80, 0.7, 1)
    together = resample(METRICS, predictions, references, samples=30, seed=13)
    alone = resample({"f1_macro": METRICS["f1_macro"]}, predictions, references, samples=30, seed=13)
    assert (alone["f1_macro"] == together["f1_macro"]).all()


def test_two_models_on_the_same_examples_pair_up():
    """A model that is right wherever the other is, and once more, leads in no resample by less than 0."""
    worse, references = noisy(60, 0.6, 2)
    better = worse.copy()
    wrong = np.flatnonzero(worse != references)[:10]
    better[wrong] = references[wrong]
    values = [resample({"a": accuracy}, p, references, samples=200, seed=3)["a"] for p in (better, worse)]
    assert (values[0] >= values[1]).all()
    low, _ = central_95(values[0] - values[1])
    assert low > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [20, 300])
def test_the_interval_holds_the_value_and_narrows_with_the_examples(n, seed):
    predictions, references = noisy(n, 0.8, seed)
    for name, values in resample(METRICS, predictions, references, samples=300, seed=13).items():
        low, high = central_95(values)
        assert low <= METRICS[name](predictions, references) <= high
        assert high - low < 7 / math.sqrt(n)


def test_about_95_of_100_intervals_cover_the_true_share():
    """Accuracy 0.8 on 200 examples: with 200 simulated test sets, 95% coverage has a standard error of 1.5%."""
    covered = 0
    for seed in range(200):
        predictions, references = noisy(200, 0.8, 10_000 + seed)
        low, high = central_95(resample({"a": accuracy}, predictions, references, samples=200, seed=seed)["a"])
        covered += low <= 0.8 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_width_is_that_of_the_normal_approximation():
    predictions, references = noisy(1000, 0.8, 0)
    share = accuracy(predictions, references)
    low, high = central_95(resample({"a": accuracy}, predictions, references, samples=2000, seed=1)["a"])
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / 1000), rel=0.08)


def test_a_perfect_score_has_a_point_as_its_interval():
    references = np.array([0, 1] * 20)
    assert central_95(resample({"a": accuracy}, references, references, samples=100, seed=0)["a"]) == (1.0, 1.0)


def test_undefined_resamples_are_ignored():
    predictions, references = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0])
    values = resample({"pearson": pearson, "mae": mean_absolute_error}, predictions, references, samples=300, seed=0)
    assert 0 < np.isnan(values["pearson"]).sum() < 300
    low, high = central_95(values["pearson"])
    assert -1 <= low <= high <= 1
    assert not np.isnan(values["mae"]).any()


def test_nothing_defined_gives_no_interval():
    values = resample({"pearson": pearson}, np.full(5, 0.1), np.arange(5.0), samples=50, seed=0)
    assert np.isnan(values["pearson"]).all()
    assert central_95(values["pearson"]) is None


def test_multi_label_arrays_are_resampled_by_example():
    rng = np.random.default_rng(0)
    references = (rng.random((40, 3)) < 0.4).astype(int)
    values = resample({"a": accuracy, "f": averaged("f1", "micro")}, references, references, samples=20, seed=0)
    assert values["a"].tolist() == [1.0] * 20
    assert values["f"].tolist() == [1.0] * 20


def test_one_example_has_an_interval_of_no_width():
    assert central_95(resample({"a": accuracy}, np.array([1]), np.array([0]), samples=10, seed=0)["a"]) == (0.0, 0.0)
