"""Choose the task that reads the rows of an unknown file."""

from collections.abc import Mapping

from ft_toolkit.core.errors import DataError, UsageError, did_you_mean, one_of
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.local_files import FileRows
from ft_toolkit.tasks.base import Guess, Task
from ft_toolkit.tasks.guessing.table import Table


def without_other_names(file: FileRows) -> RawRows:
    """Return rows without the columns that the reader has copied to a column of the task."""
    others = set(file.aliases.values()) - set(file.aliases)
    return (
        [{name: value for name, value in row.items() if name not in others} for row in file.rows]
        if others
        else file.rows
    )


def check_columns(table: Table, where: str) -> None:
    """Raise DataError if a column that the user named is not in the file."""
    present = [column.name for column in table.columns]
    for role, names in table.named.items():
        missing = [name for name in (part.strip() for part in names.split(",")) if name not in present]
        if names not in present and missing:
            name = missing[0]
            raise DataError(
                f"--column {role}={names}: {where} has no column '{name}'; columns found: {one_of(present)}."
                f"{did_you_mean(name, present)}"
            )


def find_guesses(table: Table, tasks: Mapping[str, Task], wanted: str | None, where: str) -> dict[str, Guess]:
    """Return the guesses of the tasks that can read the rows; of one task, if the user named it. Raises UsageError."""
    if wanted is not None and wanted not in tasks:
        raise UsageError(f"--task {wanted}: unknown task; allowed: {one_of(tasks)}.{did_you_mean(wanted, tasks)}")
    allowed = {
        name: task for name, task in tasks.items() if wanted in (None, name) and set(table.named) <= set(task.columns)
    }
    if not allowed:
        if wanted:
            problem = f"{wanted} does not have these columns; allowed: {one_of(tasks[wanted].columns)}"
        else:
            problem = "no task has these columns; add --task TASK to see the columns of a task"
        raise UsageError(f"--column {one_of(table.named)}: {problem}")
    guesses = {name: task.guess(table) for name, task in allowed.items()}
    fitting = {name: guess for name, guess in guesses.items() if guess.score > 0}
    if not fitting:
        why = "".join(f"\n  {name}: {'; '.join(guess.reasons)}" for name, guess in guesses.items())
        raise DataError(
            f"{where}: no task can read these rows; columns found: {one_of(column.name for column in table.columns)}.{why}\n"
            "If a column has another meaning, name it: --task TASK --column COLUMN=NAME, such as --task text_classification "
            "--column label=stars"
        )
    return fitting
