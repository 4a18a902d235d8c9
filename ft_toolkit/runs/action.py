"""Decide from the content of a run folder whether a run starts, resumes or is already finished."""

import shutil
from enum import Enum
from pathlib import Path

from ft_toolkit.core.errors import ResumeError, UsageError, one_of
from ft_toolkit.core.run_folder import (
    BEFORE_RECIPE,
    CHECKPOINTS,
    FROM_SCRATCH_FOLDER,
    LOCK,
    MERGED_FOLDER,
    RECIPE,
    REPORT,
    RESULTS,
    TINY_MODEL_FOLDER,
    has_checkpoint,
    has_only,
)
from ft_toolkit.core.run_records import read_environment, read_recipe, read_run_results
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report import write_report
from ft_toolkit.training import checkpoint

# The first line of the recipe in a run folder; the second text is that of earlier versions.
RECIPE_HEADER = "# The recipe of this run with all settings."
_HEADERS = (RECIPE_HEADER, "# What ran, resolved to the last default.")


class Action(Enum):
    """What to do for a run; the value is the text on the console."""

    SKIP = "already finished"
    RESUME = "resuming"
    START = "starting"


def choose_action(folder: Path, loaded: LoadedRecipe, world_size: int, *, smoke: bool) -> Action:
    """Return whether to start, resume or skip a run, by the content of its folder. The caller has the lock of the folder.

    Completes the folder of a finished run, and removes the files of a run that was interrupted before its first checkpoint.
    Raises ResumeError if the folder has a finished run of another recipe, and UsageError if it is not a run folder.
    """
    if (folder / RESULTS).is_file():
        _check_finished(folder, loaded, world_size, smoke=smoke)
        if not (folder / REPORT).is_file():  # an earlier version wrote results.json before the report page
            write_report(folder)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        return Action.SKIP
    if has_checkpoint(folder):
        return Action.RESUME
    if folder.is_dir():
        _remove_unfinished(folder)
    return Action.START


def _remove_unfinished(folder: Path) -> None:
    """Remove the models and checkpoints of a run that was interrupted before its first checkpoint.

    The run writes its other files again. Raises UsageError if the folder has other files and no recipe of a run.
    """
    if not has_only(folder, BEFORE_RECIPE) and not _has_recipe(folder):
        names = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
        raise UsageError(f"{folder} is not a run folder (it contains {one_of(names[:5])}); choose another --output")
    for name in (CHECKPOINTS, TINY_MODEL_FOLDER, FROM_SCRATCH_FOLDER, MERGED_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)


def _has_recipe(folder: Path) -> bool:
    """Return whether a run wrote the recipe in a folder."""
    path = folder / RECIPE
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith(_HEADERS)


def _check_finished(folder: Path, loaded: LoadedRecipe, world_size: int, *, smoke: bool) -> None:
    """Raise ResumeError if the finished run in a folder was made by another recipe or another kind of run."""
    if read_run_results(folder).is_smoke != smoke:
        raise ResumeError(f"{folder}: smoke runs and real runs cannot be mixed; start a new run with another --output")
    if smoke:
        return
    saved_world_size = read_environment(folder).processes or 1
    recipe = loaded.recipe.as_dict()
    if changed := checkpoint.training_changes(read_recipe(folder) or {}, recipe, (saved_world_size, world_size)):
        raise ResumeError(
            f"{folder} is a run of another recipe: {'; '.join(changed)}. Undo the change, or start a new run"
        )
