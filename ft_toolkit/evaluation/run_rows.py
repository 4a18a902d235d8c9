"""Load the rows of a finished run again."""

from dataclasses import replace
from pathlib import Path

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.run_folder import RECIPE
from ft_toolkit.core.run_records import RunResults
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import read_input


def load_run_rows(folder: Path, results: RunResults, *, with_test: bool) -> tuple[Recipe, LoadedData]:
    """Return the recipe and the rows of a run. Raises DataError, and ResumeError for rows that changed since the run.

    The test rows of a run that was not scored on them, such as a trial of a sweep, cannot have changed.
    """
    loaded = load_recipe(folder / RECIPE, [], find_tasks())
    data = read_input(loaded.recipe, loaded.task).data
    if not with_test:
        data = replace(data, splits={name: rows for name, rows in data.splits.items() if name != "test"})
    for split, fingerprint in data.split_fingerprints.items():
        if results.data.split_fingerprints.get(split, fingerprint if split == "test" else None) != fingerprint:
            raise ResumeError(
                f"{folder}: the {split} rows of its recipe have changed since the run; restore {data.origin[split]}"
            )
    return loaded.recipe, data
