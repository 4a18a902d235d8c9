"""`ftk data audit`: read the rows of a recipe, a data card or files, and find their faults."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ft_toolkit.core.audit_records import AuditResults
from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.data.cards import load_card
from ft_toolkit.data.faults.fault import AuditedRows, DataAudit, fault_counts
from ft_toolkit.data.faults.find_faults import find_faults
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.row_checks import label_counts, label_warnings
from ft_toolkit.data.source_rows import local_files
from ft_toolkit.data.split_files import find_split_files
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_values
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.runs.first_recipe import InitRequest, plan_for_files
from ft_toolkit.tasks.base import Task

# The name of the model in the recipe of a data card.
NO_MODEL = "none"


@dataclass(frozen=True)
class AuditSource:
    """Rows to audit, the name of their source, and the task and the recipe that read them."""

    name: str
    task: Task
    recipe: Recipe
    data: LoadedData


class Steps(Protocol):
    """Shows the progress of an audit: the name of a step, the number of items that are done, and their total."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


def read_recipe_rows(loaded: LoadedRecipe) -> AuditSource:
    """Return the rows of a recipe. Raises DataError."""
    recipe, task = loaded.recipe, loaded.task
    return AuditSource(loaded.name, task, recipe, load_data(recipe.data, task, recipe.task))


def read_card_rows(name: str, task: str | None, model: str | None, tasks: Mapping[str, Task]) -> AuditSource:
    """Return the rows of a data card, read for `task` or the first task of the card. Raises DataError."""
    card = load_card(name)
    chosen = _check_task(task, tasks) or next(iter(card.block.tasks))
    card.for_task(chosen)
    missing = {f"{split}_fraction": 0.1 for split in ("validation",) if split not in card.block.splits}
    # a recipe names a model, which only the search for label errors loads
    values = {"task": chosen, "model": {"name": model or NO_MODEL}, "data": {"card": name, **missing}}
    return read_recipe_rows(load_values(name, values, tasks, f"data card {name}"))


def read_file_rows(request: InitRequest, tasks: Mapping[str, Task]) -> AuditSource:
    """Return the rows of files, read as `ftk init` reads them. Raises DataError and UsageError."""
    _check_task(request.task, tasks)
    files = find_split_files(request.files)
    first = plan_for_files(request, files, Path("audit.yaml"), tasks)
    return AuditSource(", ".join(request.files), first.task, first.recipe, first.data)


def data_files(source: AuditSource) -> list[str]:
    """Return the files or patterns that the rows were read from. Raises UsageError for rows from the Hub."""
    section, card = source.recipe.data, source.data.card
    if section.has_local_files:
        return list(local_files(section).values())
    if card is not None and card.block.source.files is not None:
        return [str(card.folder / name) for name in card.block.source.files.values()]
    raise UsageError(f"{source.name}: the rows come from the Hub; download the files first")


def audit_rows(
    source: AuditSource, command: str, report: Steps, suspects: int | None = None, *, unknown_tokens: bool = False
) -> DataAudit:
    """Find the faults of the rows; with `suspects`, also at most this many labels that are probably wrong.

    `unknown_tokens` also finds characters that the tokenizer of the model does not have. Raises UsageError if a package of the
    extra "audit" is missing, and for suspects in a task without labels; ModelError for a model that cannot be loaded.
    """
    data, task, settings = source.data, source.task, source.recipe.task
    rows = AuditedRows(data, task, settings)
    faults = find_faults(rows, partial(report, "comparing texts"))
    if unknown_tokens:
        from ft_toolkit.runs.unknown_tokens import find_unknown_tokens  # imports torch

        faults += find_unknown_tokens(source.recipe.model, rows, partial(report, "tokenizing texts"))
    if suspects is not None:
        from ft_toolkit.runs.label_errors import find_label_errors  # imports torch

        faults += find_label_errors(source.recipe, task, data, rows, suspects, partial(report, "reading texts"))
    labels = label_counts(data, task, settings)
    results = AuditResults(
        source=source.name,
        command=command,
        task=task.name,
        rows={split: len(part) for split, part in data.splits.items()},
        fingerprint=data.fingerprint,
        labels=labels,
        words=words_of_texts(rows),
        faults=fault_counts(faults, rows),
        notes=[*data.notes, *label_warnings(labels, data, task, settings)],
    )
    return DataAudit(rows, faults, results)


def _check_task(name: str | None, tasks: Mapping[str, Task]) -> str | None:
    if name is not None and name not in tasks:
        raise UsageError(f"--task {name}: unknown task; allowed: {one_of(tasks)}.{did_you_mean(name, tasks)}")
    return name


def words_of_texts(rows: AuditedRows) -> dict[str, int]:
    """Return the minimum, median, 95% quantile and maximum of the words per text."""
    lengths = [len(text.split()) for _, text in rows.each_text()]
    low, median, high, longest = np.quantile(lengths, [0, 0.5, 0.95, 1], method="lower").tolist()
    return {"minimum": int(low), "median": int(median), "95%": int(high), "maximum": int(longest)}
