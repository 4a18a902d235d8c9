"""The dates of rows (`data.time`), and a hold-out of the newest rows."""

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, islice
from typing import Any

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.columns import columns_of
from ft_toolkit.data.selection import HeldOut
from ft_toolkit.data.stored_rows import select_rows
from ft_toolkit.tasks.base import Row, Rows

# ISO 8601: a date, or a date and a time with or without a time zone.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_EXAMPLES = "2024-05-31, 2024-05-31 09:30 or 2024-05-31T09:30:00Z"


@dataclass(frozen=True)
class Times:
    """The date of each row: the value of `column`, by the id of the row."""

    column: str
    by_id: Mapping[str, datetime.datetime]


def find_times(rows: Collection[Mapping[str, Any]], mapped: Sequence[Row], column: str, origin: str) -> Times:
    """Return the dates of the rows of a file. `mapped` are the same rows with the columns of the task.

    Raises DataError for a missing column, a row without a date in the form of ISO 8601, and for dates with and without a time
    zone, which have no order.
    """
    present = columns_of(rows)
    if column not in present:
        raise DataError(
            f"{origin}: no column '{column}' with the dates of the rows (data.time); columns found: {one_of(present)}."
            f"{did_you_mean(column, present)}"
        )
    dates = [_date(row.get(column)) for row in rows]
    if bad := [number for number, date in enumerate(dates) if date is None]:
        cell = next(islice(rows, bad[0], None)).get(column)
        more = f" ({len(bad):,} of {len(rows):,} rows have no date in this form)" if len(bad) > 1 else ""
        raise DataError(
            f"{origin}: row {bad[0] + 1}: column '{column}' (data.time) is {cell!r}; a date in the form of ISO 8601 is "
            f"required, such as {_EXAMPLES}{more}"
        )
    known = [date for date in dates if date is not None]
    zones = [date.tzinfo is not None for date in known]
    if len(set(zones)) > 1:
        other = zones.index(not zones[0])
        raise DataError(
            f"{origin}: column '{column}' (data.time) has dates with and without a time zone, which have no order: row 1 and "
            f"row {other + 1}; write all of them in one form"
        )
    return Times(column, {row["id"]: date for row, date in zip(mapped, known, strict=True)})


def hold_out_newest(rows: Rows, shares: Mapping[HeldOut, float], times: Times, notes: list[str]) -> dict[str, Rows]:
    """Return {"train": the oldest rows, "validation": newer rows, "test": the newest rows}, in the order of the file.

    `shares` has the share of `validation` and of `test` or one of them. Rows with the same date are in one split, so the shares
    are approximate. Appends notes. Raises DataError if a split has no rows.
    """
    dates = [times.by_id[row["id"]] for row in rows]
    order = sorted(range(len(rows)), key=lambda i: dates[i])
    # the positions in `order` at which the date changes
    cuts = [0, *accumulate(len(list(same)) for _, same in groupby(order, key=lambda i: dates[i]))]
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
        splits[split] = select_rows(rows, sorted(order[first:last]))
        oldest, newest = dates[order[first]], dates[order[last - 1]]
        notes.append(
            f"{split}: {last - first:,} of {len(rows):,} training rows, by '{times.column}' from {oldest} to {newest}"
        )
    return splits


def _nearest(cuts: Sequence[int], wanted: float) -> int:
    return min(cuts, key=lambda cut: (abs(cut - wanted), cut))


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
