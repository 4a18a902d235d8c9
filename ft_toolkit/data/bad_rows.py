"""Find all rows of a split that a task cannot read, and report them together or leave them out (`data.on_bad_rows`)."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ft_toolkit.core.counted_notes import shown
from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.core.files import write_file
from ft_toolkit.data.cards import SplitName
from ft_toolkit.tasks.base import Row, Rows

# If more than this share of the rows are bad, none are left out: the whole file is probably wrong.
MAX_SKIPPED_SHARE = 0.2
# Kinds of problems that a message shows.
_SHOWN_KINDS = 5
# Rows that are read together in the search for bad rows.
_TOGETHER = 4096
# A file name that does not occur in any message.
_ONE_ROW = "\0"
_LOCATION = re.compile(rf"{_ONE_ROW}: row 1(?: \(id .*?\))?:? ")
_ROW_NAME = re.compile(r"^row \S+: ")

# (rows, location for messages) -> (rows in the form of the task, notes). Raises DataError; a message about a row begins with
# "LOCATION: row N".
Read = Callable[[Rows, str], tuple[Rows, list[str]]]

# What a run does with bad rows.
Policy = Literal["error", "skip"]


@dataclass(frozen=True)
class NumberedRows:
    """Rows of a split, their numbers in the file from 1 (or their ids), and the file."""

    rows: Rows
    numbers: Sequence[int | str]
    origin: str
    split: SplitName

    def part(self, part: slice) -> "NumberedRows":
        """Return some of the rows."""
        return replace(self, rows=self.rows[part], numbers=self.numbers[part])


@dataclass(frozen=True)
class BadRow:
    """A row that the task cannot read, its number in the file, and the problem."""

    split: SplitName
    number: int | str
    row: Row
    problem: str

    @property
    def name(self) -> str:
        """The row in messages: its number and, if it has one, its id."""
        row_id = self.row.get("id", self.number)
        return f"row {self.number}" if str(row_id) == str(self.number) else f"row {self.number} (id {row_id})"


@dataclass(frozen=True)
class ReadRows:
    """The rows in the form of the task, notes on them, and the rows that were left out."""

    rows: Rows
    notes: list[str]
    skipped: list[BadRow] = field(default_factory=list)


def read_good_rows(rows: NumberedRows, read: Read, policy: Policy | None = None) -> ReadRows:
    """Read the rows of a split; with the policy "skip", leave out bad rows, up to MAX_SKIPPED_SHARE of all rows.

    `policy` is data.on_bad_rows, None for a command without this setting. Raises DataError that names all bad rows.
    """
    try:
        read_rows, notes = read(rows.rows, rows.origin)
        return ReadRows(read_rows, shown(notes))
    except DataError:
        bad = find_bad_rows(rows, read)
        if not bad:
            raise
        check_share(bad, len(rows.rows), rows.origin, policy)
    bad_numbers = {row.number for row in bad}
    good = [row for row, number in zip(rows.rows, rows.numbers, strict=True) if number not in bad_numbers]
    read_rows, notes = read(good, rows.origin)
    return ReadRows(read_rows, [skipped_note(bad, len(rows.rows)), *shown(notes)], bad)


def check_share(bad: Sequence[BadRow], n_rows: int, origin: str, policy: Policy | None) -> None:
    """Raise DataError that names bad rows, unless the policy is "skip" and they are a small share of all rows."""
    if policy != "skip" or len(bad) > MAX_SKIPPED_SHARE * n_rows:
        raise DataError(_describe(bad, n_rows, origin, policy)) from None


def skipped_note(bad: Sequence[BadRow], n_rows: int) -> str:
    """Return the note on rows that were left out."""
    return (
        f"{len(bad)} of {n_rows} rows cannot be read and were left out (data.on_bad_rows=skip); the first: "
        f"{bad[0].name}: {bad[0].problem}"
    )


def refuse_rows(
    rows: Rows, check: Callable[[Rows], object], origin: str, split: SplitName, error: DataError
) -> DataError:
    """Return the error for rows that `check` refuses: `error` for one row, otherwise one that names all of them.

    `check` raises DataError with a message that begins with "row NAME: ". Rows are named by their ids.
    """
    numbered = NumberedRows(rows, [row.get("id", number) for number, row in enumerate(rows, 1)], origin, split)
    bad = find_bad_rows(numbered, lambda part, where: check(part), _ROW_NAME)
    return DataError(_describe(bad, len(rows), origin, None) if len(bad) > 1 else f"{origin}: {error}")


def find_bad_rows(
    rows: NumberedRows, read: Callable[[Rows, str], object], location: re.Pattern[str] = _LOCATION
) -> list[BadRow]:
    """Return the rows that cannot be read alone. Other errors are about all rows together.

    Parts of the rows that can be read are not searched: the time grows with the number of bad rows. More than `_TOGETHER` rows
    are not read at once, because they may not fit into memory.
    """
    try:
        if len(rows.rows) > _TOGETHER:
            raise DataError
        read(rows.rows, _ONE_ROW)
    except DataError as error:
        if len(rows.rows) > 1:
            middle = len(rows.rows) // 2
            parts = (slice(None, middle), slice(middle, None))
            return [bad for part in parts for bad in find_bad_rows(rows.part(part), read, location)]
        problem, n_locations = location.subn("", str(error), count=1)
        if n_locations:
            return [BadRow(rows.split, rows.numbers[0], rows.rows[0], problem)]
    return []


def _describe(bad: Sequence[BadRow], n_rows: int, origin: str, policy: Policy | None) -> str:
    """Return the message for bad rows: for one row its problem, for several a line per kind of problem."""
    if len(bad) == 1 and policy != "skip":
        return f"{origin}: {bad[0].name}: {bad[0].problem}"
    kinds: dict[str, list[BadRow]] = {}
    for row in bad:
        kinds.setdefault(_kind(row.problem), []).append(row)
    numbers = one_of((str(row.number) for row in bad), limit=3)
    lines = [f"{origin}: {len(bad)} of {n_rows} rows cannot be read, rows {numbers}"]
    for same in sorted(kinds.values(), key=len, reverse=True)[:_SHOWN_KINDS]:
        more = f"{len(same)} rows, such as " if len(same) > 1 else ""
        lines.append(f"  {more}{same[0].name}: {same[0].problem}")
    if len(kinds) > _SHOWN_KINDS:
        lines.append(f"  ... and {len(kinds) - _SHOWN_KINDS} other kinds of problems")
    remedy = "Correct them"
    if policy is not None and len(bad) > MAX_SKIPPED_SHARE * n_rows:
        remedy += f"; data.on_bad_rows=skip leaves out at most {MAX_SKIPPED_SHARE:.0%} of the rows"
    elif policy == "error":
        remedy += ", or leave them out with data.on_bad_rows=skip"
    return "\n".join([*lines, remedy])


def _kind(problem: str) -> str:
    """Return a problem without the quoted texts and numbers that differ between rows."""
    return re.sub(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]+|\[.*?\]|\{.*?\}""", "", problem)


def write_skipped_rows(path: Path, skipped: Sequence[BadRow]) -> None:
    """Write one JSON object per row that was left out: split, row number, reason and the row."""
    lines = [
        json.dumps(
            {"split": bad.split, "row": bad.number, "reason": bad.problem, **bad.row}, default=str, ensure_ascii=False
        )
        for bad in skipped
    ]
    write_file(path, "".join(f"{line}\n" for line in lines))
