"""The number of rows that would rule out a drop."""

import numpy as np
import pytest

from ft_toolkit.evaluation.statistics.paired_shares import tango
from ft_toolkit.evaluation.statistics.rows_needed import rows_that_rule_out
from ft_toolkit.evaluation.statistics.significance import PairedScores

ALLOWED, TAIL = 0.005, 0.05


@pytest.mark.parametrize(("only_run", "only_export"), [(0, 0), (2, 1), (30, 30)])
def test_more_rows_with_the_same_shares_rule_out_the_drop(only_run: int, only_export: int) -> None:
    n = 400
    pair = PairedScores((only_run - only_export) / n, np.array([]), (only_run, only_export, n))
    rows = rows_that_rule_out(pair, ALLOWED, n, 1.0, TAIL)
    assert rows is not None
    bound = tango(only_run * rows / n, only_export * rows / n, rows, tail=TAIL)[1]
    assert bound <= ALLOWED + 1e-6
    fewer = int(rows * 0.97)
    assert tango(only_run * fewer / n, only_export * fewer / n, fewer, tail=TAIL)[1] > ALLOWED


def test_a_drop_that_is_not_below_the_bound_needs_no_number() -> None:
    pair = PairedScores(0.01, np.array([]), (4, 0, 400))
    assert rows_that_rule_out(pair, ALLOWED, 400, 0.03, TAIL) is None


def test_other_metrics_follow_the_square_root_law() -> None:
    pair = PairedScores(0.001, np.array([0.0, 0.001, 0.002]))
    assert rows_that_rule_out(pair, 0.005, 100, 0.013, TAIL) == 900
