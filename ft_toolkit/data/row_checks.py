"""Warnings about the rows of a new data set, before any model is loaded: `ftk init` prints them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.core.errors import one_of
from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.faults.find_faults import MOST_CHARACTERS, find_quick_faults
from ft_toolkit.data.faults.warnings import fault_warnings
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks.base import Task, TaskSettings
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table

_SHOWN_CHARACTERS = 60
# Fewer rows than this per label are too few to learn or score the label.
FEW_ROWS = 10
# The most frequent label has this many times the rows of the rarest one, or this share of all rows.
_IMBALANCE, _MAJORITY = 20, 0.9
# A column with this share of one value is uninformative.
_CONSTANT = 0.99
# A column leaks if its values determine this share of the labels, and at most half as many rows differ from them as from the
# most frequent label.
_DETERMINED = 0.95
# A column whose number of values is a larger share of the rows hardly groups any rows.
_FEW_VALUES = 0.5


def label_counts(data: LoadedData, task: Task, settings: TaskSettings) -> dict[str, dict[str, int]]:
    """Return, for each label, its count per split; the most frequent label of the training rows first."""
    counts = {
        split: Counter(label for row in rows for label in task.labels_of(row, settings))
        for split, rows in data.splits.items()
    }
    names = dict.fromkeys(label for split in counts.values() for label, _ in split.most_common())
    return {name: {split: counts[split][name] for split in counts} for name in names}


def check_rows(
    data: LoadedData, task: Task, settings: TaskSettings, table: Table, columns: Mapping[str, str]
) -> list[str]:
    """Return sentences on repeated and empty texts, rare labels, imbalance, and columns that leak or never change.

    `table` is the file with the training rows; `columns` maps columns of the file to columns of the task.
    """
    counts = label_counts(data, task, settings)
    rows = AuditedRows(data, task, settings, MOST_CHARACTERS)
    return [
        *fault_warnings(rows, find_quick_faults(rows), list(data.splits)),
        *label_warnings(counts, data, task, settings),
        *_column_warnings(data, task, settings, table, columns),
    ]


def label_warnings(
    counts: Mapping[str, Mapping[str, int]], data: LoadedData, task: Task, settings: TaskSettings
) -> list[str]:
    """Return sentences on labels without training rows, rare labels and imbalance. `counts` are those of `label_counts`."""
    if not counts:
        return []
    n_rows = sum(map(len, data.splits.values()))
    held_out = {name for row in data.label_rows or () for name in task.labels_of(row, settings)}  # load_data notes them
    totals = {name: sum(splits.values()) for name, splits in counts.items()}
    warnings = []
    if unknown := [name for name, splits in counts.items() if not splits["train"] and name not in held_out]:
        warnings.append(
            f"labels without a training row: {one_of(unknown, limit=5)}. 'ftk run' refuses rows with these labels unless "
            "task.labels names them"
        )
    if rare := [name for name, total in totals.items() if total < FEW_ROWS]:
        warnings.append(
            f"fewer than {FEW_ROWS} examples for {_count(len(rare), 'label')}: {one_of(rare, limit=5)}. These are too few to "
            "learn or score a label. Merge such labels, drop them, or collect more examples"
        )
    largest, smallest = max(totals, key=lambda name: totals[name]), min(totals, key=lambda name: totals[name])
    has_one_label_per_row = task.stratify_by(settings) is not None
    if has_one_label_per_row and totals[largest] >= _MAJORITY * n_rows:
        warnings.append(
            f"{totals[largest] / n_rows:.0%} of the rows have the label {largest!r}: a model that always predicts it has this "
            "accuracy. Look at the scores per label"
        )
    elif has_one_label_per_row and totals[largest] >= _IMBALANCE * totals[smallest]:
        warnings.append(
            f"the labels are imbalanced: {largest!r} has {totals[largest]:,} rows, {smallest!r} has {totals[smallest]:,}. Look "
            "at the scores per label"
        )
    return warnings


def _column_warnings(
    data: LoadedData, task: Task, settings: TaskSettings, table: Table, columns: Mapping[str, str]
) -> list[str]:
    """Return warnings on columns that are nearly constant, and on unused columns whose values determine the label."""
    warnings = []
    for column in table.columns:
        if column.name in columns and len(column.values) > 1 and (share := _share_of_first(column)) >= _CONSTANT:
            used_as = columns[column.name]
            warnings.append(f"column '{column.name}' ({used_as}) has the same value in {share:.0%} of the rows")
    label = next((name for name, role in columns.items() if role == task.stratify_by(settings)), None)
    if label is None:
        return warnings
    for column in table.columns:
        if column.name in columns or not _can_group(column, len(table.rows)):
            continue
        determined, majority = _determined(table.rows, column.name, label)
        if determined >= _DETERMINED and (1 - determined) <= 0.5 * (1 - majority):
            warnings.append(
                f"column '{column.name}' determines the label of {determined:.0%} of the rows. The model does not see it, but "
                f"if rows with the same '{column.name}' are similar, the score is optimistic. data.group={column.name} keeps "
                "them in one split"
            )
    return warnings


def _share_of_first(column: ColumnFacts) -> float:
    counts = Counter(str(value) for value in column.values)
    return counts.most_common(1)[0][1] / len(column.values)


def _can_group(column: ColumnFacts, n_rows: int) -> bool:
    """Return whether the values of a column put several rows together, in more than a few groups."""
    return column.kind in ("text", "whole numbers", "true or false") and 2 <= column.n_distinct <= _FEW_VALUES * n_rows


def _determined(rows: Sequence[Mapping[str, Any]], column: str, label: str) -> tuple[float, float]:
    """Return the accuracy of the most frequent label per value of a column, and of the most frequent label of all rows.

    Values that occur once are left out.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        labels[str(row.get(column))][str(row.get(label))] += 1
    repeated = [counts for counts in labels.values() if counts.total() > 1]
    total = sum(counts.total() for counts in repeated)
    if total < 0.5 * len(rows):
        return 0.0, 1.0
    majority = sum(repeated, Counter[str]()).most_common(1)[0][1]
    return sum(counts.most_common(1)[0][1] for counts in repeated) / total, majority / total


def _count(n: int, name: str) -> str:
    """Return a number with its noun: "1 text", "2 texts"."""
    return f"{n:,} {name}{'' if n == 1 else 's'}"
