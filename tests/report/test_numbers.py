"""Numbers as text."""

import pytest

from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.numbers import difference, interval, number, seconds

SHARE, PERCENT = Metric(lambda a, b: 0.0, is_share=True), Metric(lambda a, b: 0.0, best=100.0, is_mean=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (0.56789, "0.5679"),
        (-0.25, "-0.2500"),
        (1.5e-5, "1.5e-05"),
        (9.99994, "9.9999"),
        (10.0, "10.00"),
        (41.256, "41.26"),
        (12345.6, "12,345.60"),
        (0.99996, "0.99996"),
    ],
)
def test_scores_have_four_decimals_and_two_from_ten(value, text):
    assert number(value) == text
    assert number(value, 1000) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.875, "0.88"),
        (1.0, "1.00"),
        (0.0, "0.00"),
        (0.998, "0.998"),
        (0.003, "0.003"),
        (-0.996, "-0.996"),
        (41.256, "41.26"),
    ],
)
def test_few_examples_give_two_decimals_but_never_a_wrong_0_or_1(value, text):
    assert number(value, 999) == text


def test_an_undefined_interval_is_a_dash():
    assert interval({"low": None, "high": None}) == "-"
    assert interval({"low": 0.5, "high": 1.0}, 12) == "0.50 to 1.00"


@pytest.mark.parametrize(
    ("values", "metric", "n", "text"),
    [
        ((0.38, 0.664), SHARE, 100, "38 to 66 points"),
        ((0.38, 0.664), SHARE, 5000, "38.0 to 66.4 points"),
        ((0.004, 0.09), SHARE, 100, "0.4 to 9.0 points"),
        ((-0.04, 0.1), SHARE, 100, "-4 to 10 points"),
        ((4.0, 9.25), PERCENT, 100, "4 to 9 points"),
        ((0.01,), SHARE, 100, "1 point"),
        ((700.0, 900.0), Metric(lambda a, b: 0.0, greater_is_better=False), 100, "700.00 to 900.00"),
    ],
)
def test_differences_of_shares_are_in_points(values, metric, n, text):
    assert difference(values, metric, n) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), (3.25, "3.2 s"), (150.0, "2 min 30 s"), (7265.0, "2 h 1 min")]
)
def test_seconds(value, text):
    assert seconds(value) == text
