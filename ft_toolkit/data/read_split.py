"""Read one split: map the columns, find the groups, drop rows without labels, and bring the others into the task's form.

rows of the source --map_columns--> columns of the task --labelled rows--> --task.read_labels, task.read_rows--> rows
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.bad_rows import BadRow, NumberedRows, Policy, read_good_rows
from ft_toolkit.data.columns import ColumnNames, columns_of, find_map, map_columns, set_name
from ft_toolkit.data.groups import GroupColumn, Groups, find_groups
from ft_toolkit.data.label_names import name_labels
from ft_toolkit.data.label_order import names_of_numbers, read_labelled
from ft_toolkit.data.read_in_parts import MappedRows, RowFunctions, read_in_parts
from ft_toolkit.data.source_rows import RawSplit
from ft_toolkit.data.streamed_rows import StreamedRows
from ft_toolkit.data.times import Times, find_times
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks.base import DefinedLabels, LabelSource, Row, Rows, Task, TaskSettings, answer_columns, is_labelled


@dataclass(frozen=True)
class SplitRows:
    """The labelled rows of a split in the form of the task, and the rows that were left out; `rows` is None without labels.

    `groups` is None for independent rows, `times` if no column of dates was named.
    """

    rows: Rows | None
    groups: Groups | None
    notes: list[str]
    skipped: list[BadRow] = field(default_factory=list)
    times: Times | None = None


@dataclass(frozen=True)
class SplitReader:
    """The facts that are the same for every split of a run.

    names             names to try for the columns of the task
    kept              extra columns that the rows keep under their own names
    labels            label names, if something defines their order
    label_separator   text between the labels of a cell
    reading           how to read the files
    on_bad_rows       what to do with rows that the task cannot read; None for a command without this setting
    """

    task: Task
    settings: TaskSettings | None
    names: ColumnNames
    kept: Sequence[str] = ()
    labels: DefinedLabels | None = None
    label_separator: str = "|"
    reading: Reading | None = None
    on_bad_rows: Policy | None = None

    def read(self, raw: RawSplit, group: GroupColumn, time: str | None = None) -> SplitRows:
        """Return the rows of a split, with their dates if `time` names a column. Raises DataError."""
        if isinstance(raw.rows, StreamedRows):
            return self._read_in_parts(raw, raw.rows, group, time)
        task, notes = self.task, list[str]()
        mapped = self._prepare(self._mapped(raw), raw.origin)
        groups = find_groups(raw.rows, mapped, task, group, raw.origin, notes)
        numbered = _labelled(mapped, task, raw, notes)
        if not numbered.rows:
            return SplitRows(None, groups, notes)
        read = read_good_rows(numbered, self._read_rows, self.on_bad_rows)
        notes += [f"{raw.name}: {note}" for note in read.notes]
        times = None
        if time is not None:
            with_ids = ((row["id"], source) for row, source in zip(mapped, raw.rows, strict=True))
            times = find_times(with_ids, columns_of(raw.rows), read.rows, time, raw.origin)
        return SplitRows(read.rows, groups, notes, read.skipped, times)

    def _read_in_parts(self, raw: RawSplit, rows: StreamedRows, group: GroupColumn, time: str | None) -> SplitRows:
        """Return the rows of long files, which are not held in memory; see `read`."""
        task, notes, form = self.task, list[str](), self.task.answer_form
        assert form is not None, "other tasks read their files at once"
        try:
            columns = find_map(rows, raw.origin, task, self._names(raw), self.kept)
        except DataError as error:
            raise DataError(f"{error}{_how_it_was_read(raw)}") from None
        mapped = MappedRows(rows, columns)
        functions = RowFunctions(
            lambda some: self._prepare(some, raw.origin),
            lambda row: is_labelled(row, task),
            self._read_rows,
            lambda row: form(row, self.settings) if self.settings is not None else None,
        )
        groups = find_groups(rows, mapped, task, group, raw.origin, notes)
        read = read_in_parts(mapped, functions, NumberedRows([], [], raw.origin, raw.name), self.on_bad_rows)
        if read.n_labelled < read.n_rows:
            notes.append(_unlabelled_note(read.n_rows - read.n_labelled, read.n_rows, raw))
        notes += [f"{raw.name}: {note}" for note in read.notes]
        times = None
        if time is not None and read.rows is not None:
            times = find_times(mapped.with_ids(), rows.columns, read.rows, time, raw.origin)
        return SplitRows(read.rows, groups, notes, read.skipped, times)

    def _prepare(self, mapped: Sequence[Row], where: str) -> list[Row]:
        """Return the rows with names for numbers, and None for missing answers. Raises DataError."""
        named = name_labels(list(mapped), self.reading, self.task, where)
        return named if self.settings is None else list(self.task.mark_missing(named, self.settings))

    def _read_rows(self, rows: Rows, where: str) -> tuple[Rows, list[str]]:
        """Return labelled rows in the form of the task, and notes. Raises DataError."""
        source = LabelSource(where, self.labels, self.label_separator, names_of_numbers(self.reading))
        return read_labelled(rows, self.task, self.settings, source)

    def _names(self, raw: RawSplit) -> ColumnNames:
        """Return the names to try; held-out rows may lack the columns that only training uses."""
        if raw.name == "train":
            return self.names
        return self.names.without_training_columns(self.task, columns_of(raw.rows))

    def _mapped(self, raw: RawSplit) -> list[Row]:
        """Return the rows with the task's columns. Raises DataError, with the notes on how the file was read."""
        try:
            return map_columns(raw.rows, raw.origin, self.task, self._names(raw), self.kept)
        except DataError as error:
            raise DataError(f"{error}{_how_it_was_read(raw)}") from None


def _labelled(mapped: Rows, task: Task, raw: RawSplit, notes: list[str]) -> NumberedRows:
    """Return the labelled rows with their numbers, and append a note with the number of rows without a label."""
    numbers = [number for number, row in enumerate(mapped, 1) if is_labelled(row, task)]
    if len(numbers) < len(mapped):
        notes.append(_unlabelled_note(len(mapped) - len(numbers), len(mapped), raw))
    return NumberedRows([mapped[number - 1] for number in numbers], numbers, raw.origin, raw.name)


def _unlabelled_note(n_dropped: int, n_rows: int, raw: RawSplit) -> str:
    return f"{raw.name}: {n_dropped} of {n_rows} rows have no label and were dropped"


def no_labels(raw: RawSplit, task: Task, purpose: str) -> DataError:
    """Return the error for rows without any label. `purpose` completes "no labelled rows", such as "to train on"."""
    answers = answer_columns(task)
    remedy = f" {set_name(answers[0])}" if answers else ""
    return DataError(
        f"{raw.origin}: no labelled rows {purpose}; {task.name} needs the column {' or '.join(answers)}; columns found: "
        f"{one_of(columns_of(raw.rows))}.{remedy}{_how_it_was_read(raw)}"
    )


def _how_it_was_read(raw: RawSplit) -> str:
    """Return the notes on how a file was read as the end of an error, which may be due to them."""
    return f". Note on the file: {'; '.join(raw.file_notes)}" if raw.file_notes else ""
