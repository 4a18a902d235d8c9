"""Train on a fraction of the training rows (`data.train_fraction`).

The same fraction always selects the same rows, and a smaller fraction is a subset of a larger one.
"""

from dataclasses import replace

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.selection import Selector, fraction_of_rows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_rows import select_rows


def take_train_fraction(data: LoadedData, fraction: float | None, selector: Selector) -> LoadedData:
    """Return the data with a fraction of its training rows, in their order; None keeps all rows.

    A hash of the content selects the rows (see `fraction_of_rows`). Raises DataError when no row is left.
    """
    if fraction is None:
        return data
    rows = data.splits["train"]
    size = fraction_size(len(rows), fraction)
    if size == 0:
        raise DataError(
            f"data.train_fraction={fraction:g} of {len(rows):,} training rows leaves no row; set a larger one"
        )
    selected = select_rows(rows, fraction_of_rows(rows, size, selector))
    splits = {**data.splits, "train": selected}
    if size == len(rows):
        return replace(data, splits=splits)
    note = f"train: {size:,} of {len(rows):,} rows used (data.train_fraction), selected by a hash of their content"
    if selector.groups is not None and selector.version > 1:
        groups = selector.groups
        note += f": {groups.count(selected):,} of {groups.count(rows):,} groups by '{groups.column}'"
    return replace(data, splits=splits, notes=[*data.notes, note])


def fraction_size(n_rows: int, fraction: float) -> int:
    """Return the number of rows in a fraction, rounded half up."""
    return int(n_rows * fraction + 0.5)
