"""Select rows by hashes of their content: the same rows on every machine, stratified by label, without splitting groups.

hold_out           validation or test rows out of the training rows (`data.validation_fraction`, `data.test_fraction`)
fraction_of_rows   a fraction of the training rows (`data.train_fraction`)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.groups import Groups
from ft_toolkit.data.splits import content_hash
from ft_toolkit.tasks.base import Rows, Task, TaskSettings, answer_columns

# The splits that can be held out of the training rows.
HeldOut = Literal["validation", "test"]
# The version of these rules, saved in checkpoints. Version 1 had no groups, and held rows out one by one without strata.
SELECTION = 2


class EmptySplitError(DataError):
    """A hold-out leaves no rows on one side."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that stay together, by their positions. `order` is a hash from 0 to 1, `stratum` the most frequent label."""

    rows: tuple[int, ...]
    order: float
    stratum: str


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

    def strata(self, rows: Rows) -> list[str]:
        """Return the stratum of each row, the same for all rows without a column to stratify by."""
        column = self.strata_column
        return [""] * len(rows) if column is None else [str(row.get(column)) for row in rows]

    def units(self, rows: Rows, *, joins_equal_inputs: bool) -> list[Unit]:
        """Return the groups as units; without groups single rows or, with `joins_equal_inputs`, rows with equal inputs."""
        if self.groups is not None and self.version > 1:
            keys: Sequence[str | float] = self.groups.of(rows)
            orders = [content_hash({"group": key}) for key in keys]
        else:
            ignored = ["id", *self.kept]
            if joins_equal_inputs:
                ignored += answer_columns(self.task)
            orders = [content_hash(row, ignored) for row in rows]
            keys = orders if joins_equal_inputs else range(len(rows))
        positions: dict[str | float, list[int]] = {}
        for position, key in enumerate(keys):
            positions.setdefault(key, []).append(position)
        strata = self.strata(rows)
        return [
            Unit(tuple(together), orders[together[0]], _most_frequent([strata[i] for i in together]))
            for together in positions.values()
        ]


def hold_out(
    rows: Rows, fraction: float, selector: Selector, notes: list[str], split: HeldOut = "validation"
) -> tuple[Rows, Rows]:
    """Return the training rows and the rows that are held out of them, and append notes. Raises DataError.

    Rows of a group, and rows with equal inputs, are on the same side. For a classifier with one label per row, each label
    keeps its share, and at least one row or group of it stays in training. Test rows are the rows with the largest hashes,
    so that the validation rows are the same with and without test rows.
    """
    if selector.version == 1 or (selector.groups is None and selector.strata_column is None):
        ignored = ("id",) if selector.version == 1 else ("id", *selector.kept)
        hashes = [content_hash(row, ignored) for row in rows]
        held = {i for i, h in enumerate(hashes) if (h < fraction if split == "validation" else h >= 1 - fraction)}
    else:
        units, strata = selector.units(rows, joins_equal_inputs=True), selector.strata(rows)
        if split == "test":
            units = [replace(unit, order=1 - unit.order) for unit in units]
        # If every label is rare, such as with numbers as labels, the labels are ignored; `find_schema` checks them later.
        held = _held_out_units(units, fraction, strata) or _held_out_units(units, fraction, [""] * len(rows))
    if not held or len(held) == len(rows):
        raise EmptySplitError(_empty_side(rows, fraction, len(held), selector.groups, split))
    train = [row for i, row in enumerate(rows) if i not in held]
    held_rows = [row for i, row in enumerate(rows) if i in held]
    notes += _describe(train, held_rows, fraction, selector, split)
    return train, held_rows


def _held_out_units(units: Sequence[Unit], fraction: float, strata: Sequence[str]) -> set[int]:
    """Return the positions of the rows to hold out: units in stratified order, as long as they approach the fraction.

    At least one row of each stratum is left.
    """
    target, left, held = max(fraction * len(strata), 1.0), Counter(strata), set[int]()
    order = _stratified_order(units, start=0.5)

    def leaves_rows(unit: Unit) -> bool:
        removed = Counter(strata[i] for i in unit.rows)
        return all(left[name] > n for name, n in removed.items())

    for unit in order:
        approaches = abs(len(held) + len(unit.rows) - target) < abs(len(held) - target)
        if approaches and leaves_rows(unit):
            held.update(unit.rows)
            left -= Counter(strata[i] for i in unit.rows)
    if not held:  # every unit alone is more than twice the target: hold out the smallest one
        by_size = sorted(order, key=lambda unit: len(unit.rows))
        held.update(next((unit.rows for unit in by_size if leaves_rows(unit)), ()))
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
    training_strata = selector.strata(train)
    only_in_training = set(training_strata) - set(selector.strata(held))
    if only_in_training:
        units = selector.units(train, joins_equal_inputs=True)
        n_units = Counter(name for unit in units for name in {training_strata[i] for i in unit.rows})
        single = sorted(name for name in only_in_training if n_units[name] == 1)
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
    units = _stratified_order(selector.units(rows, joins_equal_inputs=False), start=0.0)
    return sorted([i for unit in units for i in unit.rows][:size])


def _stratified_order(units: Sequence[Unit], *, start: float) -> list[Unit]:
    """Return units in an order whose every prefix is stratified: the first rows of all strata before all second rows.

    Within a stratum of n rows, sorted by hash, a unit of k rows after m others has the position (m + start * k) / n.
    """
    total, seen = Counter[str](), Counter[str]()
    for unit in units:
        total[unit.stratum] += len(unit.rows)
    placed: list[tuple[float, float, int, Unit]] = []
    for unit in sorted(units, key=lambda unit: (unit.order, unit.rows[0])):
        position = (seen[unit.stratum] + start * len(unit.rows)) / total[unit.stratum]
        placed.append((position, unit.order, unit.rows[0], unit))
        seen[unit.stratum] += len(unit.rows)
    return [unit for *_, unit in sorted(placed, key=lambda entry: entry[:3])]


def _most_frequent(values: Sequence[str]) -> str:
    if len(values) == 1:  # most units are one row
        return values[0]
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))
