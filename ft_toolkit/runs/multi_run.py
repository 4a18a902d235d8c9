"""Start several runs with one command, each in a folder of its own, and resume them after an interruption."""

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState

from ft_toolkit.core import files
from ft_toolkit.core.errors import Interrupted, ResumeError, UsageError, one_of
from ft_toolkit.core.run_folder import CHECKPOINTS, LAST_CHECKPOINT, RECIPE, REPORT, RESULTS
from ft_toolkit.core.run_records import read_environment, read_recipe, read_run_results
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report import write_report
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.training import checkpoint
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.smoke import TINY_MODEL_FOLDER
from ft_toolkit.training.tracking import Display


@dataclass(frozen=True)
class ChildRun:
    """One run of a multi-run command.

    title       the name on the console, such as "seed 1"
    command     the command that repeats this run alone
    """

    title: str
    loaded: LoadedRecipe
    folder: Path
    command: str


class Action(Enum):
    """What to do for a run; the value is the text on the console."""

    SKIP = "already finished"
    RESUME = "resuming"
    START = "starting"


def run_all(children: Sequence[ChildRun], options: RunOptions, *, noun: str, resume_with: str) -> None:
    """Run all children that are not finished, in order.

    `noun` names the runs in the plural, and `resume_with` is the command that resumes all of them, for the message after an
    interruption. Raises ResumeError and UsageError for a folder that belongs to other runs, and the errors of `run`.
    """
    distributed = PartialState()
    display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
    for number, child in enumerate(children, 1):
        title = f"{child.title} ({number} of {len(children)})"
        choose = partial(choose_action, child, distributed.num_processes, smoke=options.smoke)
        action = processes.on_main_process(distributed, choose)
        display.say(f"{title}: {action.value}, {child.folder}")
        if action is Action.SKIP:
            continue
        child_options = replace(options, output=child.folder, resume=action is Action.RESUME, command=child.command)
        try:
            run(child.loaded, child_options)
        except Interrupted as interrupted:
            reason = str(interrupted).partition(";")[0]
            raise Interrupted(
                interrupted.exit_code - 128,
                f"{reason} of {title}; a checkpoint is saved, and the finished {noun} are kept. Resume with:\n  {resume_with}",
            ) from None
        gc.collect()  # free the model and the optimizer before the next run
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def choose_action(child: ChildRun, world_size: int, *, smoke: bool) -> Action:
    """Return whether to start, resume or skip a run, by the content of its folder; remove a folder without a checkpoint.

    Raises ResumeError if the folder has a finished run of another recipe, and UsageError if it is not a run folder.
    """
    folder = child.folder
    if (folder / RESULTS).is_file():
        _check_finished(child, world_size, smoke=smoke)
        if not (folder / REPORT).is_file():  # interrupted after results.json and before the report page
            write_report(folder)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        return Action.SKIP
    if files.find_folder(folder / LAST_CHECKPOINT) is not None:
        return Action.RESUME
    if folder.is_dir():  # interrupted before the first checkpoint
        names = [] if (folder / RECIPE).is_file() else sorted(path.name for path in folder.iterdir())
        if set(names) - {TINY_MODEL_FOLDER}:
            raise UsageError(f"{folder} is not a run folder (it contains {one_of(names[:5])}); choose another --output")
        shutil.rmtree(folder)
    return Action.START


def _check_finished(child: ChildRun, world_size: int, *, smoke: bool) -> None:
    """Raise ResumeError if the finished run in a child's folder was made by another recipe or another kind of run."""
    folder = child.folder
    if read_run_results(folder).is_smoke != smoke:
        raise ResumeError(f"{folder}: smoke runs and real runs cannot be mixed; start a new run with another --output")
    if smoke:
        return
    saved_world_size = read_environment(folder).processes or 1
    recipe = child.loaded.recipe.as_dict()
    if changed := checkpoint.training_changes(read_recipe(folder) or {}, recipe, (saved_world_size, world_size)):
        raise ResumeError(
            f"{folder} is a run of another recipe: {'; '.join(changed)}. Undo the change, or start a new run"
        )
