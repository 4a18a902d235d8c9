"""The dates of rows (`data.time`), and a hold-out of the newest rows."""

import datetime
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.selection import HeldOut
from ft_toolkit.data.stored_rows import StoredRows, select_rows
from ft_toolkit.tasks.base import Rows

# ISO 8601: a date, or a date and a time with or without a time zone.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_EXAMPLES = "2024-05-31, 2024-05-31 09:30 or 2024-05-31T09:30:00Z"
_EPOCH, _MICROSECOND = datetime.datetime(1970, 1, 1), datetime.timedelta(microseconds=1)


@dataclass(frozen=True)
class Times:
    """The dates of rows.

    column    the column of the file
    local     the date and time of each row, in microseconds since 1970, shape (rows,)
    offsets   the offset of its time zone from UTC in microseconds, shape (rows,); None if the dates have no time zones
    """

    column: str
    local: np.ndarray
    offsets: np.ndarray | None

    @property
    def order(self) -> np.ndarray:
        """A number for each row; a later date has a larger one."""
        return self.local if self.offsets is None else self.local - self.offsets

    def date(self, row: int) -> datetime.datetime:
        """Return the date of a row."""
        date = _EPOCH + int(self.local[row]) * _MICROSECOND
        if self.offsets is None:
            return date
        return date.replace(tzinfo=datetime.timezone(int(self.offsets[row]) * _MICROSECOND))


def find_times(
    rows: Iterable[tuple[str, Mapping[str, Any]]], present: Sequence[str], kept: Rows, column: str, origin: str
) -> Times:
    """Return the dates of the rows `kept`, which are some rows of a file in the form of a task.

    `rows` are the ids and rows of the file, which has the columns `present`. Raises DataError for a missing column, a row of
    the file without a date in the form of ISO 8601, and for dates with and without a time zone, which have no order.
    """
    if column not in present:
        raise DataError(
            f"{origin}: no column '{column}' with the dates of the rows (data.time); columns found: {one_of(present)}."
            f"{did_you_mean(column, present)}"
        )
    local, offsets, positions = array("q"), array("q"), _Positions(kept)
    number = n_bad = first_bad = other_zone = 0
    first_cell: Any = None
    has_zone: bool | None = None
    for number, (row_id, row) in enumerate(rows, 1):
        positions.add(row_id)
        date = _date(row.get(column))
        if date is None:
            n_bad += 1
            if n_bad == 1:
                first_bad, first_cell = number, row.get(column)
            continue
        offset = date.utcoffset()
        has_zone = offset is not None if has_zone is None else has_zone
        if (offset is not None) != has_zone:
            other_zone = other_zone or number
        local.append((date.replace(tzinfo=None) - _EPOCH) // _MICROSECOND)
        offsets.append((offset or datetime.timedelta()) // _MICROSECOND)
    if n_bad:
        more = f" ({n_bad:,} of {number:,} rows have no date in this form)" if n_bad > 1 else ""
        raise DataError(
            f"{origin}: row {first_bad}: column '{column}' (data.time) is {first_cell!r}; a date in the form of ISO 8601 is "
            f"required, such as {_EXAMPLES}{more}"
        )
    if other_zone:
        raise DataError(
            f"{origin}: column '{column}' (data.time) has dates with and without a time zone, which have no order: row 1 and "
            f"row {other_zone}; write all of them in one form"
        )
    selected = positions.of_kept_rows()
    return Times(column, np.array(local)[selected], np.array(offsets)[selected] if has_zone else None)


class _Positions:
    """The positions of the rows of a task among the rows of their file, from 0.

    Stored rows are in the order of the file. They are found without a table of all ids.
    """

    def __init__(self, kept: Rows) -> None:
        self._kept, self._is_stored = kept, isinstance(kept, StoredRows)
        self._ids = (row["id"] for row in kept)
        self._next = next(self._ids, None)
        self._n_rows, self._found = 0, array("q")
        self._by_id: dict[str, int] = {}

    def add(self, row_id: str) -> None:
        """Add the next row of the file."""
        if not self._is_stored:
            self._by_id[row_id] = self._n_rows
        while self._is_stored and self._next == row_id:
            self._found.append(self._n_rows)
            self._next = next(self._ids, None)
        self._n_rows += 1

    def of_kept_rows(self) -> np.ndarray:
        """Return the position of each row of the task, shape (rows,)."""
        if not self._is_stored:
            return np.array([self._by_id[row["id"]] for row in self._kept], np.int64)
        assert len(self._found) == len(self._kept), "a task with `answer_form` keeps the order of its rows"
        return np.array(self._found)


def hold_out_newest(rows: Rows, shares: Mapping[HeldOut, float], times: Times, notes: list[str]) -> dict[str, Rows]:
    """Return {"train": the oldest rows, "validation": newer rows, "test": the newest rows}, in the order of the file.

    `shares` has the share of `validation` and of `test` or one of them. Rows with the same date are in one split, so the shares
    are approximate. Appends notes. Raises DataError if a split has no rows.
    """
    order = np.argsort(times.order, kind="stable")
    # the positions in `order` at which the date changes
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(times.order[order])) + 1, [len(rows)]])
    n_validation = shares.get("validation", 0.0) * len(rows)
    n_test = shares.get("test", 0.0) * (len(rows) - n_validation)  # as for rows held out by a hash
    test_from = _nearest(cuts, len(rows) - n_test)
    validation_from = _nearest(cuts, len(rows) - n_test - n_validation)
    parts = {"train": (0, validation_from), "validation": (validation_from, test_from), "test": (test_from, len(rows))}
    splits: dict[str, Rows] = {}
    for split, (first, last) in parts.items():
        if split not in ("train", *shares):
            continue
        if first >= last:
            raise DataError(
                f"data.time={times.column}: no {split} rows, because too many rows have the same date (different dates: "
                f"{len(cuts) - 1:,}). Use a column with more of them, or another fraction"
            )
        splits[split] = select_rows(rows, np.sort(order[first:last]))
        oldest, newest = times.date(order[first]), times.date(order[last - 1])
        notes.append(
            f"{split}: {last - first:,} of {len(rows):,} training rows, by '{times.column}' from {oldest} to {newest}"
        )
    return splits


def _nearest(cuts: np.ndarray, wanted: float) -> int:
    """Return the cut that is nearest to a number; of two, the smaller one. `cuts` are sorted."""
    return int(cuts[np.argmin(np.abs(cuts - wanted))])


def _date(value: Any) -> datetime.datetime | None:
    """Return a date or an ISO 8601 text as a datetime; None for any other value."""
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, str) or not _DATE.fullmatch(value.strip()):
        return None
    try:
        return datetime.datetime.fromisoformat(value.strip())
    except ValueError:  # such as 2024-02-30
        return None
