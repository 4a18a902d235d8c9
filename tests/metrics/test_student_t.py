"""Student's t distribution agrees with SciPy."""

import pytest
from scipy import stats

from ft_toolkit.metrics.student_t import central_probability, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 28, 101])
def test_quantiles_and_probabilities_are_those_of_scipy(degrees: int) -> None:
    for probability in (0.6, 0.9, 0.975, 0.999):
        quantile = stats.t.ppf(probability, degrees)
        assert t_quantile(probability, degrees) == pytest.approx(quantile, rel=1e-9)
        assert central_probability(quantile, degrees) == pytest.approx(2 * probability - 1, rel=1e-9)
