"""Select rows by hashes of their content: the same rows on every machine, stratified by label, without splitting groups.

hold_out           validation or test rows out of the training rows (`data.validation_fraction`, `data.test_fraction`)
held_out_rows      which rows these are
fraction_of_rows   a fraction of the training rows (`data.train_fraction`)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.groups import Groups
from ft_toolkit.data.splits import content_hash
from ft_toolkit.data.stored_rows import select_rows
from ft_toolkit.tasks.base import Rows, Task, TaskSettings, answer_columns

# The splits that can be held out of the training rows.
HeldOut = Literal["validation", "test"]
# The version of these rules, saved in checkpoints. Version 1 had no groups, and held rows out one by one without strata.
SELECTION = 2


class EmptySplitError(DataError):
    """A hold-out leaves no rows on one side."""


@dataclass(frozen=True)
class Units:
    """Units of rows that stay together, numbered in the order of their first rows.

    unit      the unit of each row, shape (rows,)
    first     the first row of each unit, shape (units,)
    sizes     the number of rows of each unit
    orders    a hash from 0 to 1 of each unit
    strata    the number of the most frequent stratum of each unit; of several, the first in alphabetical order
    """

    unit: np.ndarray
    first: np.ndarray
    sizes: np.ndarray
    orders: np.ndarray
    strata: np.ndarray

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.first)

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows, sorted by unit, and the position of the first row of each unit."""
        return np.argsort(self.unit, kind="stable"), np.cumsum([0, *self.sizes])

    def rows(self, unit: int) -> np.ndarray:
        """Return the rows of a unit, ascending."""
        order, starts = self._rows
        return order[starts[unit] : starts[unit + 1]]

    def stratified_order(self, *, start: float) -> np.ndarray:
        """Return the units in an order whose every prefix is stratified: the first rows of all strata before all second rows.

        Within a stratum of n rows, sorted by hash, a unit of k rows after m others has the position (m + start * k) / n.
        """
        by_stratum = np.lexsort((self.first, self.orders, self.strata))
        sizes, strata = self.sizes[by_stratum], self.strata[by_stratum]
        before = np.cumsum(sizes) - sizes
        begins = np.flatnonzero(np.diff(strata, prepend=-1))
        lengths = np.diff([*begins, len(strata)])
        seen = before - np.repeat(before[begins], lengths)
        total = np.repeat(np.add.reduceat(sizes, begins), lengths)
        positions = np.empty(len(strata))
        positions[by_stratum] = (seen + start * sizes) / total
        return np.lexsort((self.first, self.orders, positions))


@dataclass(frozen=True)
class Strata:
    """The stratum of each row: its number, shape (rows,), and the name of each number."""

    numbers: np.ndarray
    names: Sequence[str]

    def by_name(self) -> np.ndarray:
        """Return the rank of the name of each row in alphabetical order."""
        ranks = np.empty(len(self.names), np.int64)
        ranks[sorted(range(len(self.names)), key=lambda number: self.names[number])] = np.arange(len(self.names))
        by_row: np.ndarray = ranks[self.numbers]
        return by_row


@dataclass(frozen=True)
class Selector:
    """The facts that determine which rows are selected.

    `kept` are the columns that the model does not see and that do not affect the selection. `version` is SELECTION, or the
    version of the checkpoint that a run resumes.
    """

    task: Task
    settings: TaskSettings | None
    groups: Groups | None = None
    kept: tuple[str, ...] = ()
    version: int = SELECTION

    @property
    def strata_column(self) -> str | None:
        """The column whose values keep their proportions."""
        return None if self.settings is None else self.task.stratify_by(self.settings)

    def strata(self, rows: Rows) -> Strata:
        """Return the stratum of each row, the same for all rows without a column to stratify by."""
        column = self.strata_column
        if column is None:
            return Strata(np.zeros(len(rows), np.int64), [""])
        known: dict[str, int] = {}
        values = (known.setdefault(str(row.get(column)), len(known)) for row in rows)
        numbers = np.fromiter(values, np.int64, len(rows))
        return Strata(numbers, list(known))

    def units(self, rows: Rows, strata: Strata, *, joins_equal_inputs: bool) -> Units:
        """Return the groups as units; without groups single rows or, with `joins_equal_inputs`, rows with equal inputs."""
        n = len(rows)
        if self.groups is not None and self.version > 1:
            known: dict[str, int] = {}
            unit = np.fromiter((known.setdefault(group, len(known)) for group in self.groups.of(rows)), np.int64, n)
            orders = np.array([content_hash({"group": group}) for group in known])
            first = np.unique(unit, return_index=True)[1]
        else:
            ignored = ["id", *self.kept]
            if joins_equal_inputs:
                ignored += answer_columns(self.task)
            hashes = np.fromiter((content_hash(row, ignored) for row in rows), np.float64, n)
            if joins_equal_inputs:
                _, first, unit = np.unique(hashes, return_index=True, return_inverse=True)
                by_first = np.argsort(first)
                ranks = np.empty(len(first), np.int64)
                ranks[by_first] = np.arange(len(first))
                first, unit = first[by_first], ranks[unit]
            else:
                first = unit = np.arange(n)
            orders = hashes[first]
        sizes = np.bincount(unit, minlength=len(first))
        return Units(unit, first, sizes, orders, _most_frequent(unit, strata, len(first)))


def _most_frequent(unit: np.ndarray, strata: Strata, n_units: int) -> np.ndarray:
    """Return the most frequent stratum of each unit; of several, the first in alphabetical order."""
    ranks = strata.by_name()
    if n_units == len(unit):  # every unit is one row
        return ranks
    pairs, counts = np.unique(np.stack([unit, ranks]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -counts, pairs[0]))
    chosen: np.ndarray = pairs[1][order][np.unique(pairs[0][order], return_index=True)[1]]
    return chosen


def hold_out(
    rows: Rows, fraction: float, selector: Selector, notes: list[str], split: HeldOut = "validation"
) -> tuple[Rows, Rows]:
    """Return the training rows and the rows that are held out of them, and append notes. Raises DataError.

    Rows of a group, and rows with equal inputs, are on the same side. For a classifier with one label per row, each label
    keeps its share, and at least one row or group of it stays in training. Test rows are the rows with the largest hashes,
    so that the validation rows are the same with and without test rows.
    """
    held = held_out_rows(rows, fraction, selector, split)
    train, held_rows = select_rows(rows, np.flatnonzero(~held)), select_rows(rows, np.flatnonzero(held))
    notes += _describe(train, held_rows, fraction, selector, split)
    return train, held_rows


def held_out_rows(rows: Rows, fraction: float, selector: Selector, split: HeldOut) -> np.ndarray:
    """Return whether each row is held out, shape (rows,); see `hold_out`. Raises DataError."""
    held = np.zeros(len(rows), bool)
    if selector.version == 1 or (selector.groups is None and selector.strata_column is None):
        ignored = ("id",) if selector.version == 1 else ("id", *selector.kept)
        hashes = np.fromiter((content_hash(row, ignored) for row in rows), np.float64, len(rows))
        held = hashes < fraction if split == "validation" else hashes >= 1 - fraction
    else:
        strata = selector.strata(rows)
        units = selector.units(rows, strata, joins_equal_inputs=True)
        if split == "test":
            units = replace(units, orders=1 - units.orders)
        held = _held_out_units(units, fraction, strata)
        if not held.any():  # every label is rare, such as with numbers as labels: `find_schema` checks them later
            held = _held_out_units(units, fraction, Strata(np.zeros(len(rows), np.int64), [""]))
    n_held = int(held.sum())
    if n_held in (0, len(rows)):
        raise EmptySplitError(_empty_side(rows, fraction, n_held, selector.groups, split))
    return held


def _held_out_units(units: Units, fraction: float, strata: Strata) -> np.ndarray:
    """Return whether each row is held out: units in stratified order, as long as they approach the fraction.

    At least one row of each stratum is left.
    """
    n = len(strata.numbers)
    target, n_held, held = max(fraction * n, 1.0), 0, np.zeros(n, bool)
    left = np.bincount(strata.numbers, minlength=len(strata.names)).tolist()
    order = units.stratified_order(start=0.5)

    def removed_rows(unit: int) -> tuple[np.ndarray, Counter[int]]:
        rows = units.rows(unit)
        return rows, Counter(strata.numbers[rows].tolist())

    for unit in order:
        size = int(units.sizes[unit])
        if abs(n_held + size - target) < abs(n_held - target):
            rows, removed = removed_rows(unit)
            if all(left[stratum] > n for stratum, n in removed.items()):
                held[rows] = True
                n_held += size
                for stratum, n in removed.items():
                    left[stratum] -= n
    if not n_held:  # every unit alone is more than twice the target: hold out the smallest one
        for unit in order[np.argsort(units.sizes[order], kind="stable")]:
            rows, removed = removed_rows(unit)
            if all(left[stratum] > n for stratum, n in removed.items()):
                held[rows] = True
                break
    return held


def _empty_side(rows: Rows, fraction: float, n_held: int, groups: Groups | None, split: HeldOut) -> str:
    problem = f"data.{split}_fraction={fraction} leaves {len(rows) - n_held} training and {n_held} {split} rows"
    remedy = f"set another fraction, or data.{split}=FILE"
    if groups is None:
        return f"{problem}; {remedy}"
    return (
        f"{problem}: the rows are in {groups.count(rows)} groups by '{groups.column}', which are not split; {remedy}, or "
        "data.group=id to hold out single rows"
    )


def _describe(train: Rows, held: Rows, fraction: float, selector: Selector, split: HeldOut) -> list[str]:
    """Return the notes on a hold-out: the number of rows and groups, the share reached, and labels that are not held out."""
    n, groups, column = len(train) + len(held), selector.groups, selector.strata_column
    text = f"{split}: {len(held)} of {n} training rows held out, by a hash of their content"
    if selector.version == 1:
        return [text]
    if groups is not None:
        n_held = groups.count(held)
        text = (
            f"{split}: {len(held)} of {n} training rows held out ({len(held) / n:.1%}, data.{split}_fraction="
            f"{fraction:g}): {n_held} of {n_held + groups.count(train)} groups by '{groups.column}'"
        )
    notes = [text if column is None else f"{text}, stratified by '{column}'"]
    strata, held_strata = selector.strata(train), selector.strata(held)
    only_in_training = set(strata.names) - set(held_strata.names)
    if only_in_training:
        units = selector.units(train, strata, joins_equal_inputs=True)
        pairs = np.unique(np.stack([units.unit, strata.numbers]), axis=1)
        n_units = np.bincount(pairs[1], minlength=len(strata.names))
        single = sorted(
            name for name, n in zip(strata.names, n_units, strict=True) if n == 1 and name in only_in_training
        )
        if single:
            notes.append(
                f"{split}: values of '{column}' with a single {'row' if groups is None else 'group'} stay in training, so no "
                f"{split} row has them: {one_of(single)}"
            )
    return notes


def fraction_of_rows(rows: Rows, size: int, selector: Selector) -> list[int]:
    """Return the positions of `size` rows, ascending. A smaller selection is a subset of a larger one.

    For a classifier with one label per row the selection is stratified: each label keeps its share, and no label disappears
    while there are at least as many rows as labels. With groups, whole groups are added; the last one may be incomplete.
    """
    strata = selector.strata(rows)
    units = selector.units(rows, strata, joins_equal_inputs=False)
    chosen: list[int] = []
    for unit in units.stratified_order(start=0.0):
        if len(chosen) >= size:
            break
        chosen += units.rows(unit).tolist()
    return sorted(chosen[:size])
