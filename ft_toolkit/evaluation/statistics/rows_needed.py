"""The number of rows with which a drop of a score would be ruled out."""

import math

from ft_toolkit.evaluation.statistics.paired_shares import tango
from ft_toolkit.evaluation.statistics.significance import TOLERANCE, PairedScores

# More rows are reported as None: nobody labels them.
MOST_ROWS = 10_000_000


def rows_that_rule_out(drop: PairedScores, allowed: float, n: int, upper: float, tail: float) -> int | None:
    """Return the rows that would rule out a drop above `allowed`, if the drop and the share of differing rows stay the same.

    `drop` is measured on `n` rows, with the upper bound `upper` of its one-sided interval at level `tail`. A difference of
    shares is computed again with more rows; for other metrics, the distance of the bound from the drop shrinks with the
    square root of the rows. None if the drop itself is not below `allowed`, or if more than MOST_ROWS rows are needed.
    """
    if drop.difference >= allowed - TOLERANCE:
        return None
    if drop.counts is None:
        rows = n * ((upper - drop.difference) / (allowed - drop.difference)) ** 2
        return math.ceil(rows) if rows <= MOST_ROWS else None
    only_one, only_other, n_counted = drop.counts

    def is_ruled_out(rows: int) -> bool:
        scale = rows / n_counted
        bound = drop.best * tango(only_one * scale, only_other * scale, rows, tail=tail)[1]
        return bound <= allowed + TOLERANCE

    enough = n_counted
    while not is_ruled_out(enough):
        enough *= 2
        if enough > MOST_ROWS:
            return None
    too_few = enough // 2
    while enough - too_few > max(1, enough // 200):  # to half a percent: the estimate is not more precise
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if is_ruled_out(middle) else (enough, middle)
    return math.ceil(enough * n / n_counted)  # on clusters, the counted units are the clusters
