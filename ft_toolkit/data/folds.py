"""Divide the training rows into the folds of a cross-validation (`data.fold`), the same on every machine."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.selection import Selector
from ft_toolkit.data.stored_rows import select_rows
from ft_toolkit.tasks.base import Rows


@dataclass(frozen=True)
class Fold:
    """Fold `number` of `n_folds`, counted from 1."""

    number: int
    n_folds: int

    def __str__(self) -> str:
        return f"{self.number}/{self.n_folds}"


def read_fold(text: str) -> Fold:
    """Return the fold that `data.fold` names, such as 2/5."""
    number, _, n_folds = text.partition("/")
    return Fold(int(number), int(n_folds))


def divide_rows(rows: Rows, fold: Fold, selector: Selector) -> tuple[Rows, Rows]:
    """Return the rows outside a fold and the rows of the fold, in their order. Raises DataError for too few rows or groups."""
    is_inside = fold_numbers(rows, fold.n_folds, selector) == fold.number
    return select_rows(rows, np.flatnonzero(~is_inside)), select_rows(rows, np.flatnonzero(is_inside))


def fold_numbers(rows: Rows, n_folds: int, selector: Selector) -> np.ndarray:
    """Return the number of each row's fold, from 1, shape (rows,). Every row is in exactly one fold.

    Rows of a group, and rows with equal inputs, are in the same fold. Groups are assigned in order of size, the largest first;
    groups of equal size are ordered by a hash of their content. A group gets the fold with the smallest share of the rows with
    its labels; if several folds have the same share, the one with the fewest rows. This choice adds the least to the sum of the
    squared shares over folds and labels. Without groups, and with one label per row, the numbers of rows of a label in two
    folds therefore differ by at most one. Raises DataError if there are fewer groups, or different rows, than folds.
    """
    strata = selector.strata(rows)
    units = selector.units(rows, strata, joins_equal_inputs=True)
    if len(units) < n_folds:
        noun = "different rows" if selector.groups is None else f"groups by '{selector.groups.column}'"
        raise DataError(f"{len(units)} {noun} are too few for {n_folds} folds; use at most {len(units)} folds")
    total = Counter(strata.numbers.tolist())
    by_label = [Counter[int]() for _ in range(n_folds)]
    sizes = [0] * n_folds
    numbers = np.zeros(len(rows), np.int64)
    for unit in np.lexsort((units.first, units.orders, -units.sizes)):
        members = units.rows(unit)
        labels = Counter(strata.numbers[members].tolist())
        added = [sum(n * counts[name] / total[name] ** 2 for name, n in labels.items()) for counts in by_label]
        fold = min(range(n_folds), key=lambda i: (added[i], sizes[i]))
        by_label[fold] += labels
        sizes[fold] += len(members)
        numbers[members] = fold + 1
    if not all(sizes):
        raise DataError(
            f"{sizes.count(0)} of {n_folds} folds have no rows, because the groups are unequal; use fewer folds"
        )
    return numbers
