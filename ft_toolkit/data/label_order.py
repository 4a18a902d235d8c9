"""The labels of a run: the source of their order, the form of their cells, and the rows that define their names."""

from collections.abc import Collection, Mapping
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.cards import Card, SplitName
from ft_toolkit.data.columns import ColumnNames, columns_of, label_columns, set_name
from ft_toolkit.data.local_files import FileRows
from ft_toolkit.data.stored_rows import ChainedRows, StoredRows
from ft_toolkit.data.streamed_rows import StreamedFile
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import DefinedLabels, LabelSource, Row, Rows, Task, TaskSettings, answer_columns


def defined_labels(
    section: DataSection, card: Card | None, task: Task, names: ColumnNames, train: FileRows | StreamedFile | None
) -> DefinedLabels | None:
    """Return the label names if the settings, the data card or the training file define their order; None otherwise."""
    if (numbers := names_of_numbers(section.reading)) is not None:
        return numbers
    if train is not None and (columns := label_columns(columns_of(train.rows), names)):
        column, parts = next(iter(columns.items()))
        return DefinedLabels(parts, f"data.columns.{column}")
    if card is not None and task.name in card.block.tasks and (labels := card.for_task(task.name).labels):
        return DefinedLabels(tuple(labels), f"the data card '{card.name}'")
    answers = answer_columns(task)
    for column, classes in (train.class_names if train is not None else {}).items():
        if any(column in names.of(answer) for answer in answers):
            return DefinedLabels(classes, f"the ClassLabel of column '{column}' in {section.train}")
    return None


def names_of_numbers(reading: Reading | None) -> DefinedLabels | None:
    """Return the names of data.reading.label_names; None without this setting."""
    if reading is None or reading.label_names is None:
        return None
    return DefinedLabels(tuple(reading.label_names), "data.reading.label_names")


def check_answers(
    rows: Collection[dict[str, Any]], split: SplitName, origin: str, task: Task, names: ColumnNames
) -> None:
    """Raise DataError if a validation or test file has no column for the answers."""
    answers = answer_columns(task)
    present = columns_of(rows)
    tried = list(dict.fromkeys(name for answer in answers for name in names.of(answer)))
    if not answers or label_columns(present, names) or any(name in present for name in tried):
        return
    raise DataError(
        f"{origin}: data.{split} needs answers, but has no column {' or '.join(tried)}; columns found: {one_of(present)}. "
        f"{set_name(answers[0])}. To predict rows without answers after the run: ftk predict RUN --input {origin}"
    )


def read_labelled(rows: Rows, task: Task, settings: TaskSettings | None, source: LabelSource) -> tuple[Rows, list[str]]:
    """Return labelled rows in the form of the task, and the task's notes. Raises DataError."""
    remarks: list[str] = []
    if task.read_labels is not None and settings is not None:
        rows, remarks = task.read_labels(rows, settings, source)
    elif source.separator != "|":
        raise DataError(
            f"data.label_separator={source.separator!r}: {task.name} has no labels to separate; remove the setting"
        )
    rows, more = task.read_rows(rows, settings, source.where)
    return rows, [*remarks, *more]


def rows_with_labels(
    splits: Mapping[SplitName, Rows],
    held_out: Mapping[SplitName, str],
    task: Task,
    settings: TaskSettings | None,
    notes: list[str],
) -> Rows | None:
    """Return the rows that define the labels: the training rows, and the held-out rows with other labels.

    `held_out` has the setting that held out each split of these rows. Appends a note on labels that no training row has. None
    if the training rows have all labels.
    """
    if settings is None:
        return None

    def labels(row: Row) -> set[str]:
        return set(task.labels_of(row, settings))

    known = {name for row in splits["train"] for name in labels(row)}
    others = [row for split in held_out for row in splits[split] if not labels(row) <= known]
    if not others:
        return None
    names = sorted({name for row in others for name in labels(row)} - known)
    notes.append(
        f"all rows with the labels {one_of(names)} were held out ({' and '.join(held_out.values())}), so "
        "the model cannot learn them; add rows with these labels, or set data.validation=FILE"
    )
    train = splits["train"]
    return ChainedRows([train, others]) if isinstance(train, StoredRows) else [*train, *others]
