"""Map the columns of a data file to the columns of a task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.json_values import is_stored, json_value
from ft_toolkit.tasks.base import Row, Task, TaskSettings

# The name of a column in a file, or, for labels, the names of one 0/1 column per label.
FileColumns = str | Sequence[str]


@dataclass(frozen=True)
class ColumnNames:
    """Names that a file may use for the columns of a task.

    `explicit`: task column -> name that the user gave; the file must have it. `candidates`: task column -> names to try in
    order, for the other columns. `several`: task column -> one column of the file per label.
    """

    explicit: Mapping[str, str]
    candidates: Mapping[str, Sequence[str]]
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without_training_columns(self, task: Task, present: Sequence[str]) -> "ColumnNames":
        """Return the names for held-out rows, which may lack the columns that only training uses."""
        absent = {
            column
            for column, name in self.explicit.items()
            if task.columns[column].only_training and name not in present
        }
        explicit = {column: name for column, name in self.explicit.items() if column not in absent}
        return replace(self, explicit=explicit, candidates={**self.candidates, **dict.fromkeys(absent, ())})

    def of(self, column: str) -> Sequence[str]:
        """Return the names to try for a column of the task, in order."""
        return [self.explicit[column]] if column in self.explicit else self.candidates[column]


@dataclass(frozen=True)
class TrainedColumns:
    """The column names of the run that trained a model: from its recipe (`data.columns`) and from its data card.

    Both map columns of the task to columns of the rows. During training `recipe` is empty: its names are in `explicit`.
    """

    recipe: Mapping[str, FileColumns] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)


def column_names(
    task: Task, settings: TaskSettings | None, explicit: Mapping[str, FileColumns], trained: TrainedColumns
) -> ColumnNames:
    """Return the names to try for each column of `task`.

    The order for a column that is not in `explicit`: the name in the recipe of the model, the name of the task, then the
    name in the data card, else the name that a task setting gives (translation: source_language). Raises DataError if
    `explicit` has a column that the task does not have.
    """
    for name in explicit:
        if name not in task.columns:
            hint = did_you_mean(name, task.columns)
            raise DataError(f"{task.name} has no column '{name}'; allowed: {one_of(task.columns)}.{hint}")
    candidates: dict[str, list[str]] = {}
    for name, column in task.columns.items():
        setting = getattr(settings, column.named_by, None) if column.named_by else None
        names = (trained.recipe.get(name), name, trained.card.get(name, setting))
        candidates[name] = list(dict.fromkeys(candidate for candidate in names if isinstance(candidate, str)))
    single = {name: value for name, value in explicit.items() if isinstance(value, str)}
    several = {
        name: tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
        for name, value in {**trained.recipe, **explicit}.items()
        if task.columns[name].several and (not isinstance(value, str) or "," in value)
    }
    return ColumnNames(single, candidates, several)


def label_columns(present: Sequence[str], names: ColumnNames) -> dict[str, tuple[str, ...]]:
    """Return task column -> columns of the file with one label each, for the task columns that have such columns.

    `present` are the columns of the file. On the command line the columns have commas between them. Raises DataError for a
    missing column, unless all are missing and the file has the labels in one column.
    """
    matched: dict[str, tuple[str, ...]] = {}
    for column, parts in names.several.items():
        if names.explicit.get(column) in present:
            continue  # a column with a comma in its name
        missing = [part for part in parts if part not in present]
        is_optional = column not in names.explicit and any(name in present for name in names.candidates[column])
        if missing and not (is_optional and len(missing) == len(parts)):
            raise DataError(
                f"no column '{missing[0]}', which is one of the {len(parts)} columns for '{column}'; columns found: "
                f"{one_of(present)}.{did_you_mean(missing[0], present)}"
            )
        if not missing:
            matched[column] = parts
    return matched


def match_columns(present: Sequence[str], names: ColumnNames, columns: Sequence[str], task: Task) -> dict[str, str]:
    """Return task column -> column of the file, for those of `columns` that the file has.

    `present` are the columns of the file. Raises DataError, without a location, for a required or explicit column that is
    missing, and for a column that would be read as two columns of the task without an explicit name.
    """
    matched: dict[str, str] = {}
    for column in columns:
        tried = names.of(column)
        match = next((name for name in tried if name in present), None)
        other = task.columns[column].alternative
        has_other = other is not None and (other in names.explicit or any(name in present for name in names.of(other)))
        is_required = task.columns[column].required and not has_other
        if match is None and (is_required or column in names.explicit):
            quoted = "' or '".join(tried)
            remedy = set_name(column)
            if task.columns[column].several:
                remedy += f". For one 0/1 column per label: data.columns.{column}=[NAME, NAME]"
            raise DataError(
                f"no column '{quoted}' for {task.name}'s '{column}' ({task.columns[column].meaning}); columns found: "
                f"{one_of(present)}.{did_you_mean(tried[-1], present)} {remedy}"
            )
        twin = next((twin for twin, name in matched.items() if name == match), None)
        if match is not None and twin is not None and not {column, twin} <= set(names.explicit):
            raise DataError(f"column '{match}' would be read both as '{twin}' and as '{column}'. {set_name(column)}")
        if match is not None:
            matched[column] = match
    return matched


def set_name(column: str) -> str:
    """Return the sentence that tells a user how to name the file's column for a column of the task."""
    return f"Set its name: data.columns.{column}=NAME in a recipe, --column {column}=NAME for other commands"


@dataclass(frozen=True)
class ColumnMap:
    """The columns of a file that rows get: column of the task -> column of the file, or one column of the file per label.

    `where` names the file in errors. `kept` columns keep their own names.
    """

    where: str
    matched: Mapping[str, str]
    several: Mapping[str, tuple[str, ...]]
    kept: frozenset[str]

    def row(self, row: Mapping[str, Any], number: int, row_id: str) -> Row:
        """Return the row with this number in the file. Raises DataError."""
        values: dict[str, Any] = {"id": row_id}
        for column, name in self.matched.items():
            value, is_kept = row.get(name), column in self.kept
            if not is_stored(value, is_kept=is_kept):
                value = json_value(value, f"{self.where}: row {number}: column '{name}'", is_kept=is_kept)
            values[column] = value
        for column, parts in self.several.items():
            values[column] = _values(row, parts)
        return values


def find_map(
    rows: Collection[Mapping[str, Any]], where: str, task: Task, names: ColumnNames, keep: Sequence[str]
) -> ColumnMap:
    """Return the columns of a file for a task. Raises DataError; see `map_columns`."""
    present = columns_of(rows)
    try:
        several = label_columns(present, names)
        matched = match_columns(present, names, [name for name in task.columns if name not in several], task)
    except DataError as error:
        raise DataError(f"{where}: {error}{_header_hint(rows, present)}") from None
    for name in keep:
        if name not in present:
            raise DataError(
                f"{where}: no column '{name}' to group the scores by; columns found: {one_of(present)}."
                f"{did_you_mean(name, present)}"
            )
        matched[name] = name
    return ColumnMap(where, matched, several, frozenset(keep))


def map_columns(
    rows: Collection[Mapping[str, Any]], where: str, task: Task, names: ColumnNames, keep: Sequence[str] = ()
) -> list[Row]:
    """Return rows with the task's columns, the columns in `keep` under their own names, and `id`.

    `id` is the file's `id` column if its values are all different, else the row number from 1. `where` names the file in
    errors. Raises DataError.
    """
    columns = find_map(rows, where, task, names, keep)
    ids = [str(row.get("id", number)) for number, row in enumerate(rows, 1)]
    if len(set(ids)) < len(rows):
        ids = [str(number) for number in range(1, len(rows) + 1)]
    return [columns.row(row, number, row_id) for number, (row_id, row) in enumerate(zip(ids, rows, strict=True), 1)]


def _values(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any] | None:
    """Return the values of several columns by name; None for a row without any of them (None, NaN or empty text)."""
    values = {name: row.get(name) for name in columns}
    return None if all(value is None or value != value or value == "" for value in values.values()) else values


def _header_hint(rows: Collection[Mapping[str, Any]], present: Sequence[str]) -> str:
    """Return advice if the column names look like a row: a number, a sentence, or a value that occurs in the column."""
    if not any(
        name.replace(".", "").isdigit()
        or len(name.split()) > 4
        or (name.strip() and any(row.get(name) == name for row in rows))
        for name in present
    ):
        return ""
    return (
        ". The first line of the file looks like a row. If the file has no line with column names, add one, or set "
        f"data.reading.column_names=[{', '.join(f'NAME_{n}' for n in range(1, len(present) + 1))}]"
    )


def columns_of(rows: Collection[Mapping[str, Any]]) -> list[str]:
    """Return the columns that any row has, in order of appearance. Rows that know their columns are not read."""
    known: list[str] | None = getattr(rows, "columns", None)
    return known if known is not None else list(dict.fromkeys(name for row in rows for name in row))
