"""Read one split: map the columns, find the groups, drop rows without labels, and bring the others into the task's form.

rows of the source --map_columns--> columns of the task --labelled rows--> --task.read_labels, task.read_rows--> rows
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.bad_rows import BadRow, NumberedRows, Policy, read_good_rows
from ft_toolkit.data.columns import ColumnNames, columns_of, map_columns, set_name
from ft_toolkit.data.groups import GroupColumn, Groups, find_groups
from ft_toolkit.data.label_names import name_labels
from ft_toolkit.data.label_order import names_of_numbers, read_labelled
from ft_toolkit.data.source_rows import RawSplit
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
        task, notes = self.task, list[str]()
        mapped = name_labels(self._mapped(raw), self.reading, task, raw.origin)
        if self.settings is not None:
            mapped = list(task.mark_missing(mapped, self.settings))
        groups = find_groups(raw.rows, mapped, task, group, raw.origin, notes)
        numbered = _labelled(mapped, task, raw, notes)
        if not numbered.rows:
            return SplitRows(None, groups, notes)
        source = LabelSource(raw.origin, self.labels, self.label_separator, names_of_numbers(self.reading))
        read = read_good_rows(
            numbered,
            lambda rows, where: read_labelled(rows, task, self.settings, replace(source, where=where)),
            self.on_bad_rows,
        )
        notes += [f"{raw.name}: {note}" for note in read.notes]
        times = None if time is None else find_times(raw.rows, mapped, time, raw.origin)
        return SplitRows(read.rows, groups, notes, read.skipped, times)

    def _mapped(self, raw: RawSplit) -> list[Row]:
        """Return the rows with the task's columns. Raises DataError, with the notes on how the file was read."""
        try:
            return map_columns(raw.rows, raw.origin, self.task, self.names, self.kept)
        except DataError as error:
            raise DataError(f"{error}{_how_it_was_read(raw)}") from None


def _labelled(mapped: Rows, task: Task, raw: RawSplit, notes: list[str]) -> NumberedRows:
    """Return the labelled rows with their numbers, and append a note with the number of rows without a label."""
    numbers = [number for number, row in enumerate(mapped, 1) if is_labelled(row, task)]
    if len(numbers) < len(mapped):
        n_dropped = len(mapped) - len(numbers)
        notes.append(f"{raw.name}: {n_dropped} of {len(mapped)} rows have no label and were dropped")
    return NumberedRows([mapped[number - 1] for number in numbers], numbers, raw.origin, raw.name)


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
