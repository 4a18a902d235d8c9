"""Read a split of long files in parts: the rows go to a file, and only one part of them is in memory.

    file --rows of 4,096--> first row of each form of answer + part --prepare, read--> rows of the part --> Arrow file

Some tasks read an answer by looking at the answers of all rows: whether all labels are numbers, for example. Therefore each
part is read together with one row of each form of answer (`Task.answer_form`).
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ft_toolkit.core import cache
from ft_toolkit.core.counted_notes import NoteSum
from ft_toolkit.core.errors import DataError
from ft_toolkit.data import stored_rows
from ft_toolkit.data.bad_rows import BadRow, NumberedRows, Policy, Read, check_share, find_bad_rows, skipped_note
from ft_toolkit.data.columns import ColumnMap
from ft_toolkit.data.stored_rows import RowFile, StoredRows
from ft_toolkit.data.streamed_rows import StreamedRows
from ft_toolkit.tasks.base import Row


class MappedRows(Collection[Row]):
    """The rows of long files with the columns of a task. Every iteration reads the files again."""

    def __init__(self, rows: StreamedRows, columns: ColumnMap) -> None:
        """Read nothing."""
        self._rows, self._map = rows, columns
        self.columns = ["id", *columns.matched, *columns.several]

    def __iter__(self) -> Iterator[Row]:
        """Read the rows. Raises DataError for a value that cannot be stored."""
        for number, (row_id, row) in enumerate(self.with_ids(), 1):
            yield self._map.row(row, number, row_id)

    def with_ids(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Read the rows as the file has them, each after its id."""
        for number, row in enumerate(self._rows, 1):
            yield str(row.get("id", number)) if self._rows.has_ids else str(number), row

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        """Return whether a row is among the rows."""
        return any(row == other for other in self)


@dataclass(frozen=True)
class RowFunctions:
    """How the rows of a split are read.

    prepare       rows with the columns of the task -> the same rows with names for numbers and None for missing answers
    is_labelled   whether a prepared row has an answer
    read          labelled rows -> the rows in the form of the task; see `bad_rows.Read`
    form          `Task.answer_form`
    """

    prepare: Callable[[Sequence[Row]], list[Row]]
    is_labelled: Callable[[Row], bool]
    read: Read
    form: Callable[[Row], Hashable]


@dataclass
class PartRows:
    """The rows of a split, which are in a file, with notes on how they were read, and the rows that were left out.

    `n_rows` counts the rows of the source, `n_labelled` those with an answer.
    """

    n_rows: int = 0
    n_labelled: int = 0
    rows: StoredRows | None = None
    notes: list[str] = field(default_factory=list)
    skipped: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True)
class _Context:
    """One row of each form of answer, the numbers of these rows, and the same rows in the form of the task."""

    rows: list[Row]
    numbers: list[int]
    labelled: list[Row]
    labelled_numbers: list[int]
    n_read: int
    notes: list[str]


def read_in_parts(rows: MappedRows, functions: RowFunctions, source: NumberedRows, policy: Policy | None) -> PartRows:
    """Read the rows of a split. `source` has its name and origin, but no rows. Raises DataError as for rows in memory."""
    context = _find_context(rows, functions, source.origin)
    result, notes, bad = PartRows(), NoteSum(context.notes), list[BadRow]()
    size = max(stored_rows.PART, 4 * len(context.rows))
    with cache.scratch_folder() as folder:
        path = folder / "rows.arrow"
        with RowFile(path) as file:
            for part in stored_rows.in_parts(rows, size):
                labelled = _labelled(part, result.n_rows, context, functions, source)
                result.n_rows += len(part)
                result.n_labelled += len(labelled.rows)
                new_bad = _read_part(labelled, context, functions, (file, notes), is_skipped=policy == "skip")
                bad += new_bad
        if bad:
            check_share(bad, result.n_labelled, source.origin, policy)
        result.notes = notes.notes(result.n_labelled - len(bad))
        if bad:
            result.notes = [skipped_note(bad, result.n_labelled), *result.notes]
        result.skipped = bad
        if result.n_labelled:
            result.rows = StoredRows(path)
    return result


def _find_context(rows: MappedRows, functions: RowFunctions, origin: str) -> _Context:
    """Return the first row of each form of answer that can be read alone."""
    known: set[Hashable] = set()
    chosen: list[Row] = []
    numbers: list[int] = []
    for number, row in enumerate(rows, 1):
        form = functions.form(row)
        if form not in known and _is_readable(row, functions, origin):
            known.add(form)
            chosen.append(row)
            numbers.append(number)
            if form is None:
                break
    prepared = functions.prepare(chosen)
    labelled = [i for i, row in enumerate(prepared) if functions.is_labelled(row)]
    labelled_rows, labelled_numbers = [prepared[i] for i in labelled], [numbers[i] for i in labelled]
    read, notes = _with_row_numbers(functions.read, labelled_rows, labelled_numbers, origin) if labelled else ([], [])
    return _Context(chosen, numbers, labelled_rows, labelled_numbers, len(read), notes)


def _is_readable(row: Row, functions: RowFunctions, origin: str) -> bool:
    try:
        labelled = [each for each in functions.prepare([row]) if functions.is_labelled(each)]
        return bool(labelled) and len(functions.read(labelled, origin)[0]) == 1
    except DataError:
        return False


def _labelled(
    part: list[Row], n_before: int, context: _Context, functions: RowFunctions, source: NumberedRows
) -> NumberedRows:
    """Return the rows of a part that have an answer, with their numbers."""
    numbers = [*context.numbers, *range(n_before + 1, n_before + len(part) + 1)]
    together = [*context.rows, *part]
    prepared, _ = _with_row_numbers(lambda rows, where: (functions.prepare(rows), []), together, numbers, source.origin)
    labelled = [i for i in range(len(context.rows), len(together)) if functions.is_labelled(prepared[i])]
    return NumberedRows([prepared[i] for i in labelled], [numbers[i] for i in labelled], source.origin, source.split)


def _read_part(
    labelled: NumberedRows,
    context: _Context,
    functions: RowFunctions,
    target: tuple[RowFile, NoteSum],
    *,
    is_skipped: bool,
) -> list[BadRow]:
    """Write the rows of a part and add its notes; return the rows that cannot be read."""
    file, notes = target
    bad: list[BadRow] = []
    rows, numbers = list(labelled.rows), [int(number) for number in labelled.numbers]

    def read() -> None:
        together, all_numbers = [*context.labelled, *rows], [*context.labelled_numbers, *numbers]
        read_rows, more = _with_row_numbers(functions.read, together, all_numbers, labelled.origin)
        file.write(read_rows[context.n_read :])
        notes.add(more)

    if not rows:
        return []
    try:
        read()
    except DataError:
        bad = find_bad_rows(labelled, functions.read)
        if not bad:
            raise
        if not is_skipped:  # the error only needs their names
            return [BadRow(row.split, row.number, {"id": row.row.get("id")}, row.problem) for row in bad]
        bad_numbers = {row.number for row in bad}
        good = [i for i, number in enumerate(numbers) if number not in bad_numbers]
        rows, numbers = [rows[i] for i in good], [numbers[i] for i in good]
        if rows:
            read()
    return bad


def _with_row_numbers(
    read: Read, rows: Sequence[Row], numbers: Sequence[int], where: str
) -> tuple[Sequence[Row], list[str]]:
    """Call `read`; in its error, replace the positions of rows by their numbers in the file."""

    def number_of(match: re.Match[str]) -> str:
        position, row_id = int(match[1]), match[2]
        number = numbers[position - 1] if position <= len(numbers) else position
        return f"{where}: row {number}" + ("" if row_id in (None, str(number)) else f" (id {row_id})")

    try:
        return read(rows, where)
    except DataError as error:
        raise DataError(re.sub(rf"{re.escape(where)}: row (\d+)(?: \(id (.*?)\))?", number_of, str(error))) from None
