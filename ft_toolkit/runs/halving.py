"""Successive halving: end a run whose first evaluations are not in the better half (Jamieson and Talwalkar 2016).

arXiv:1502.07943. The runs are computed one after the other, so each is compared with those before it (Li et al. 2020,
arXiv:1810.05934).
"""

import math
from collections.abc import Sequence
from statistics import median

Scores = Sequence[float | None]
# Shares of the evaluations after which a run may be ended, and the smallest number of other runs to compare with.
RUNGS, FEWEST_PEERS = (0.25, 0.5), 2


def best_of(scores: Scores, *, greater: bool) -> float | None:
    """Return the best score, None without any defined one."""
    known = [score for score in scores if score is not None]
    return (max if greater else min)(known, default=None)


def is_beaten(scores: Scores, others: Sequence[Scores], *, greater: bool) -> bool:
    """Return whether a run is at a rung and worse than the median of the others after as many evaluations.

    `scores` are the evaluations of the run so far, `others` the evaluations of earlier runs, some of which ended early.
    """
    n, total = len(scores), max(map(len, others), default=0)
    if n >= total or n not in {math.ceil(share * total) for share in RUNGS}:
        return False
    peers = [best_of(other[:n], greater=greater) for other in others if len(other) >= n]
    known, best = [peer for peer in peers if peer is not None], best_of(scores, greater=greater)
    if len(known) < FEWEST_PEERS:
        return False
    return best is None or (best < median(known) if greater else best > median(known))
