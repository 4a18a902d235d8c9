"""A share of the training rows (`data.train_fraction`): the same rows each time, and the smaller share part of the larger."""

from collections import Counter
from dataclasses import replace

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load import LoadedData, position_of
from ft_toolkit.tasks.base import Rows, Task, TaskSettings


def take_share(data: LoadedData, fraction: float | None, task: Task, settings: TaskSettings | None) -> LoadedData:
    """Return the data with a share of its training rows, in their old order; None leaves all.

    The rows are chosen by a hash of their content. The labels of a classifier with one label per row keep their shares, and
    none of them disappears as long as there are rows enough. Raises DataError when no row is left.
    """
    if fraction is None:
        return data
    rows = data.splits["train"]
    size = share_size(len(rows), fraction)
    if size == 0:
        raise DataError(f"data.train_fraction={fraction:g} of {len(rows):,} training rows leaves none to train on")
    order = _order(rows, _labels(rows, task, settings), leave_out=("id", *data.kept))
    chosen = sorted(order[:size])
    splits = {**data.splits, "train": [rows[i] for i in chosen]}
    if size == len(rows):
        return replace(data, splits=splits)
    note = (
        f"train: {size:,} of {len(rows):,} rows are trained on (data.train_fraction), chosen by a hash of their content"
    )
    return replace(data, splits=splits, notes=[*data.notes, note])


def share_size(n_rows: int, fraction: float) -> int:
    """Return the number of rows in a share, rounded half up."""
    return int(n_rows * fraction + 0.5)


def _order(rows: Rows, labels: list[str], leave_out: tuple[str, ...]) -> list[int]:
    """Return the numbers of the rows in the order in which growing shares take them in.

    The k-th of a label's n rows (from 0, by their hashes) comes at k / n: a label's first row before all second ones, then
    each label as often as in the whole.
    """
    hashes = [position_of(row, leave_out) for row in rows]
    total, seen = Counter(labels), Counter[str]()
    key: dict[int, tuple[float, float, int]] = {}
    for i in sorted(range(len(rows)), key=lambda i: (hashes[i], i)):
        key[i] = (seen[labels[i]] / total[labels[i]], hashes[i], i)
        seen[labels[i]] += 1
    return sorted(key, key=key.__getitem__)


def _labels(rows: Rows, task: Task, settings: TaskSettings | None) -> list[str]:
    """Return each row's label, or the same for all where a row has not exactly one."""
    answers = [name for name, column in task.columns.items() if column.is_answer]
    if getattr(settings, "problem_type", None) != "single_label_classification" or len(answers) != 1:
        return [""] * len(rows)
    return [str(row.get(answers[0])) for row in rows]
