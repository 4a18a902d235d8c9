"""The interval of the difference of two shares on the same rows: its definition, statsmodels, and its enumerated errors."""

import numpy as np
import pytest
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar

from ft_toolkit.evaluation.statistics.paired_shares import FEW_DIFFERING, score_test_p, tango


def test_tango_by_its_definition():
    """The ends are where a test with the likeliest shares under the hypothesis, found numerically, has |z| = 1.96."""
    b, c, n = 120, 40, 600
    for end in tango(b, c, n):
        shares = np.linspace(max(0, -end), (1 - end) / 2, 200_001)[1:-1]
        log_likelihood = b * np.log(shares + end) + c * np.log(shares) + (n - b - c) * np.log(1 - end - 2 * shares)
        share = shares[log_likelihood.argmax()]
        z = (b - c - n * end) / np.sqrt(n * (2 * share + end - end**2))
        assert abs(z) == pytest.approx(norm.ppf(0.975), abs=1e-3)
    assert tango(c, b, n) == pytest.approx(tuple(-end for end in reversed(tango(b, c, n))), abs=1e-9)


def test_the_width_is_exact_where_no_row_differs():
    """No row of n differs with a probability of (1 - d) ** n, if only one model can be right where they differ."""
    end = 1 - 0.025 ** (1 / 10)
    assert tango(0, 0, 10) == pytest.approx((-end, end), abs=1e-5)
    assert tango(10, 0, 10)[1] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("tail", [0.025, 0.005])
@pytest.mark.parametrize("largest", [12, FEW_DIFFERING])
def test_the_interval_excludes_zero_exactly_when_the_test_is_significant(tail, largest):
    for b in range(largest - 12, largest):
        for c in range(largest // 2 - 6, largest // 2 + 6):
            low, high = tango(b, c, 3 * largest, tail=tail)
            assert (low > 1e-9 or high < -1e-9) == (score_test_p(b, c, 3 * largest) <= 2 * tail), (b, c)
            assert low <= (b - c) / (3 * largest) <= high


def test_the_distributions_agree_where_they_meet():
    enumerated, normal = (tango(b, FEW_DIFFERING - 40, 1000) for b in (40, 41))
    assert enumerated == pytest.approx(tuple(end - 0.001 for end in normal), abs=3e-4)


def test_few_differing_rows_of_very_many():
    """As a binomial test of one side, 20 of 20 differing rows."""
    low, high = tango(20, 0, 200_000)
    assert 0.00005 < low < 0.0001 < high < 0.0002
    assert score_test_p(20, 0, 200_000) < 1e-4


@pytest.mark.parametrize(("n", "drop", "only_other"), [(20, 0.1, 0.05), (50, 0.02, 0.03), (100, 0.01, 0.005)])
def test_one_sided_errors_are_at_most_the_stated_rate(n, drop, only_other):
    """Enumerated over all counts. With normal quantiles: 0.073, 0.060 and 0.040."""
    errors = [0.0, 0.0]
    for b in range(n + 1):
        for c in range(n - b + 1):
            chance = binom.pmf(b, n, only_other + drop) * binom.pmf(c, n - b, only_other / (1 - only_other - drop))
            if chance > 1e-6:
                low, high = tango(b, c, n, tail=0.05)
                errors[0] += chance * (low > drop)
                errors[1] += chance * (high < drop)
    assert 0 < max(errors) <= 0.051


@pytest.mark.parametrize(("only_one", "only_other"), [(100, 30), (70, 50), (90, 90), (150, 122)])
def test_the_test_of_many_differing_rows_is_mcnemars_in_statsmodels(only_one, only_other):
    expected = mcnemar([[50, only_one], [only_other, 50]], exact=False, correction=False).pvalue
    assert score_test_p(only_one, only_other, 1000) == pytest.approx(expected)


@pytest.mark.parametrize(("only_one", "only_other"), [(10, 3), (1, 9), (25, 25), (20, 8)])
def test_the_test_of_few_differing_rows_is_near_the_exact_and_the_mid_p_test(only_one, only_other):
    exact = mcnemar([[50, only_one], [only_other, 50]], exact=True).pvalue
    mid_p = exact - binom.pmf(min(only_one, only_other), only_one + only_other, 0.5)
    assert 0.75 * min(mid_p, 1) <= score_test_p(only_one, only_other, 200) <= exact + 1e-9
