"""Parity with SciPy, ties and constants included."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from ft_toolkit.metrics.regression import mean_absolute_error, mean_squared_error, pearson, spearman


def cases():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([2, 3, 10, 500]))
        references = rng.normal(rng.choice([0, 100]), rng.choice([0.01, 1, 1e6]), n)
        predictions = references * rng.choice([-1, 0, 2]) + rng.normal(0, 1, n)
        yield pytest.param(predictions, references, id=f"seed{seed}")
        if n > 3:
            levels = rng.integers(0, 4, n)
            tied = levels + rng.integers(-1, 2, n)
            yield pytest.param(tied.astype(float), levels.astype(float), id=f"seed{seed}, ties")


@pytest.mark.parametrize(("predictions", "references"), list(cases()))
def test_values_are_those_of_scipy_and_scikit_learn(predictions, references):
    assert pearson(predictions, references) == pytest.approx(
        stats.pearsonr(predictions, references).statistic, abs=1e-9
    )
    assert spearman(predictions, references) == pytest.approx(
        stats.spearmanr(predictions, references).statistic, abs=1e-9
    )
    assert mean_squared_error(predictions, references) == pytest.approx(sk.mean_squared_error(references, predictions))
    assert mean_absolute_error(predictions, references) == pytest.approx(
        sk.mean_absolute_error(references, predictions)
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e9 + 0.1, -7.0])
@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_a_correlation_with_a_constant_is_undefined_as_in_scipy(value, n):
    constant, varied = np.full(n, value), np.arange(n) * 0.1
    for one, other in [(constant, varied), (varied, constant), (constant, constant)]:
        assert math.isnan(pearson(one, other))
        assert math.isnan(spearman(one, other))
        if n > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert math.isnan(stats.pearsonr(one, other).statistic)


def test_a_correlation_never_leaves_its_range():
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=7)
        assert 1 - 1e-12 < pearson(values, values * 3 + 1) <= 1
        assert -1 <= pearson(values, -values) < -1 + 1e-12


def test_ties_share_their_mean_rank():
    references = np.array([1.0, 2.0, 2.0, 3.0])
    assert spearman(references**3, references) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2.0, 3.0, 4.0]), references) == pytest.approx(0.9486832980505138)


def test_errors_by_hand():
    predictions, references = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 4.0])
    assert mean_squared_error(predictions, references) == pytest.approx(5 / 3)
    assert mean_absolute_error(predictions, references) == pytest.approx(1.0)
