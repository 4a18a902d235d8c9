"""The best of several equally good checkpoints looks better than it is by the estimated amount."""

import numpy as np
import pytest
from scipy import integrate, stats

from ft_toolkit.evaluation.statistics.selection_bias import add_right, expected_largest, selection_bias


@pytest.mark.parametrize("k", [2, 5, 50])
def test_the_expected_largest_normal_value(k: int) -> None:
    expected = integrate.quad(lambda x: x * k * stats.norm.pdf(x) * stats.norm.cdf(x) ** (k - 1), -9, 9)[0]
    assert expected_largest(k) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("n", "k", "changed"), [(50, 5, 0.1), (200, 5, 0.1), (200, 20, 0.2)])
def test_the_estimate_agrees_with_a_simulation(n: int, k: int, changed: float) -> None:
    rng, excess, estimates = np.random.default_rng(0), [], []
    for _ in range(400):
        base = rng.random(n) < 0.8
        right = np.where(rng.random((k, n)) < changed, rng.random((k, n)) < 0.8, base)
        in_common = ((1 - changed) * base + changed * 0.8).mean()
        excess.append(right.mean(axis=1).max() - in_common)
        estimates.append(selection_bias(right.sum(axis=0), k))
    assert np.mean(estimates) == pytest.approx(np.mean(excess), rel=0.12)


def test_equal_checkpoints_and_a_single_one_have_no_excess() -> None:
    assert selection_bias([3, 0, 3], 3) == 0
    assert selection_bias([1, 0, 1], 1) is None
    assert add_right(add_right(None, np.array([True, False])), np.array([True, True])) == [2, 1]
