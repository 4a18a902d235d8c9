"""The arguments of `ft_toolkit.fine_tune`: rows from memory or from files, and the sections of a recipe."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import INPUT_ROWS
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.in_memory import is_path, plain_rows, plain_value, rows_of
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_values
from ft_toolkit.tasks import find_tasks

# Used without validation rows.
DEFAULT_VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class Arguments:
    """The arguments of `fine_tune` as plain values.

    `sections` are the sections of a recipe without the paths of the rows, `paths` the data files by split, and `rows` the
    rows from memory by split.
    """

    sections: dict[str, Any]
    paths: dict[str, str]
    rows: dict[str, RawRows]

    def recipe(self, folder: Path) -> LoadedRecipe:
        """Return the recipe, with the rows from memory in `folder`. Raises RecipeError with every mistake."""
        data, task = self.sections["data"], self.sections["task"]
        if isinstance(data, dict):
            data = {**data, **self.paths, **{name: str(_rows_path(folder, name)) for name in self.rows}}
        name = task.get("name") if isinstance(task, dict) else task
        return load_values(str(name), {**self.sections, "data": data}, find_tasks(), "fine_tune()")


def read_arguments(
    task: str | Mapping[str, Any],
    model: str | Mapping[str, Any] | None,
    sources: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Arguments:
    """Convert the arguments of `fine_tune`; `sources` are the rows by split (None: not given).

    Raises UsageError for objects without rows, for a split that is given twice, and for values that a recipe cannot hold.
    """
    passed = {name: rows for name, rows in sources.items() if rows is not None}
    rows = {name: plain_rows(rows_of(data, name), name) for name, data in passed.items() if not is_path(data)}
    for name, split in rows.items():
        if not split:
            raise DataError(f"{name}: no rows")
    paths = {name: os.fspath(data) for name, data in passed.items() if is_path(data)}
    values = {"task": task, "model": {"name": model} if is_path(model) else model, "data": {}, "training": {}}
    sections = {name: plain_value(value, f"fine_tune(): {name}") for name, value in {**values, **settings}.items()}
    _fill_defaults(sections, list(passed))
    return Arguments(sections, paths, rows)


def _fill_defaults(sections: dict[str, Any], passed: list[str]) -> None:
    """Set the validation fraction if the arguments do not set it."""
    data = sections["data"]
    if isinstance(data, dict):
        for name in passed:
            if name in data:
                raise UsageError(f"the {name} rows are given twice: {name}=... and data={{'{name}': ...}}; remove one")
        if "train" in passed and "validation" not in passed and not {"validation", "validation_fraction"} & data.keys():
            data["validation_fraction"] = DEFAULT_VALIDATION_FRACTION


def write_rows(folder: Path, split: str, rows: RawRows) -> str:
    """Write rows to the folder of a run or an evaluation as jsonl, and return the path."""
    path = _rows_path(folder, split)
    path.parent.mkdir(exist_ok=True)
    write_file(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def _rows_path(folder: Path, split: str) -> Path:
    return folder / INPUT_ROWS / f"{split}.jsonl"
