"""Train on a fraction of the training rows (`data.train_fraction`).

The same fraction always selects the same rows, and a smaller fraction is a subset of a larger one.
"""

from collections import Counter
from dataclasses import replace

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.splits import LoadedData, content_hash
from ft_toolkit.tasks.base import Rows, Task, TaskSettings


def take_train_fraction(
    data: LoadedData, fraction: float | None, task: Task, settings: TaskSettings | None
) -> LoadedData:
    """Return the data with a fraction of its training rows, in their order; None keeps all rows.

    A hash of the content selects the rows. For a classifier with one label per row the selection is stratified: each label
    keeps its share, and no label disappears while there are at least as many rows as labels. Raises DataError when no row
    is left.
    """
    if fraction is None:
        return data
    rows = data.splits["train"]
    size = fraction_size(len(rows), fraction)
    if size == 0:
        raise DataError(
            f"data.train_fraction={fraction:g} of {len(rows):,} training rows leaves no row; set a larger one"
        )
    order = _selection_order(rows, _strata(rows, task, settings), ignore=("id", *data.kept))
    selected = sorted(order[:size])
    splits = {**data.splits, "train": [rows[i] for i in selected]}
    if size == len(rows):
        return replace(data, splits=splits)
    note = f"train: {size:,} of {len(rows):,} rows used (data.train_fraction), selected by a hash of their content"
    return replace(data, splits=splits, notes=[*data.notes, note])


def fraction_size(n_rows: int, fraction: float) -> int:
    """Return the number of rows in a fraction, rounded half up."""
    return int(n_rows * fraction + 0.5)


def _selection_order(rows: Rows, strata: list[str], ignore: tuple[str, ...]) -> list[int]:
    """Return row indices in the order in which a growing fraction includes them.

    Within a stratum of n rows, sorted by hash, the k-th row (from 0) has the position k / n: the first rows of all strata
    come before all second rows, and every prefix is stratified.
    """
    hashes = [content_hash(row, ignore) for row in rows]
    total, seen = Counter(strata), Counter[str]()
    position: dict[int, tuple[float, float, int]] = {}
    for i in sorted(range(len(rows)), key=lambda i: (hashes[i], i)):
        position[i] = (seen[strata[i]] / total[strata[i]], hashes[i], i)
        seen[strata[i]] += 1
    return sorted(position, key=position.__getitem__)


def _strata(rows: Rows, task: Task, settings: TaskSettings | None) -> list[str]:
    """Return the value of the task's `stratify_by` column for each row, or one common stratum without such a column."""
    column = None if settings is None else task.stratify_by(settings)
    return [""] * len(rows) if column is None else [str(row.get(column)) for row in rows]
