"""The selection bias of a validation score: the best of several checkpoints is scored on the rows that selected it."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

# The grid on which the largest of several normal values is integrated.
_GRID = np.linspace(-8.0, 8.0, 4001)


def selection_bias(right_counts: ArrayLike, evaluations: int) -> float | None:
    """Return the expected excess of the best score of equally good checkpoints over their true share of right examples.

    `right_counts` has shape (n,): the number of `evaluations` at which each example was right. Two checkpoints differ on the
    share q of the examples, so each score varies by sqrt(q / 2n) around the part that they have in common; the largest of k
    such scores exceeds it by E(k) of these standard deviations (E(5) = 1.16, E(50) = 2.25; Harter 1961). Checkpoints that are
    not equally good have a smaller excess. Returns None for fewer than two evaluations.
    """
    counts = np.asarray(right_counts, float)
    if evaluations < 2 or not len(counts):
        return None
    share = float((2 * counts * (evaluations - counts) / (evaluations * (evaluations - 1))).mean())
    return expected_largest(evaluations) * math.sqrt(share / (2 * len(counts)))


@cache
def expected_largest(k: int) -> float:
    """Return the expected value of the largest of k independent standard normal values."""
    below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _GRID])
    density = np.diff(below**k)
    return float((density * (_GRID[:-1] + _GRID[1:]) / 2).sum())


def add_right(counts: Sequence[int] | None, right: np.ndarray) -> list[int]:
    """Return the counts with one more evaluation; `right` has shape (n,) and type bool."""
    before = counts if counts is not None else [0] * len(right)
    return [count + int(is_right) for count, is_right in zip(before, right.tolist(), strict=True)]
