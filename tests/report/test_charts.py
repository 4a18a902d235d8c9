"""Charts: axes, interrupted lines, and accessible labels."""

import re

import pytest

from ft_toolkit.report.charts import Line, axis_range, line_chart


@pytest.mark.parametrize(
    ("values", "limits", "expected"),
    [
        ([0.5, 1.0], {"lowest": 0.0, "highest": 1.0}, (0.475, 1.0)),
        ([0.0, 0.98], {"lowest": 0.0, "highest": 1.0}, (0.0, 1.0)),
        ([1.0], {"highest": 1.0}, (0.9, 1.0)),
        ([20.0, 40.0], {"lowest": 1.0}, (19.0, 41.0)),
        ([None], {}, (0.0, 1.0)),
        ([0.5, 1.0 + 1e-9], {"highest": 1.0}, (0.475, 1.0 + 1e-9)),
    ],
)
def test_an_axis_has_a_margin_but_stays_within_the_possible_values(values, limits, expected):
    assert axis_range(values, **limits) == pytest.approx(expected)


def test_a_line_is_interrupted_at_a_missing_value():
    chart = line_chart([Line("loss", [(0, 1.0), (1, None), (2, 0.0)], "strong")], (0, 2), label="loss", height=200)
    assert re.search(r'd="([^"]*)"', chart).group(1).count("M") == 2
