"""Start several runs with one command, each in a separate folder, and resume them after an interruption.

By default the runs are computed in this process, one after the other. With another executor, or with --parallel, each run
is a job (see `runs/executors/`).
"""

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.console import Console

from ft_toolkit.core import files
from ft_toolkit.core.errors import ChildRunError, FtkError, Interrupted, ResumeError, UsageError, one_of
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import CHECKPOINTS, LAST_CHECKPOINT, LOGS, RECIPE, REPORT, RESULTS
from ft_toolkit.core.run_records import read_environment, read_recipe, read_run_results
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_values
from ft_toolkit.report import write_report
from ft_toolkit.runs.executors.base import Job
from ft_toolkit.runs.executors.run_jobs import run_jobs
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
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


def run_all(children: Sequence[ChildRun], options: RunOptions, folder: Path, *, noun: str, resume_with: str) -> None:
    """Run all children that are not finished. `folder` is the folder of the command, which gets the logs of its jobs.

    `noun` names the runs in the plural, and `resume_with` is the command that resumes all of them, for the message after an
    interruption. Raises ResumeError and UsageError for a folder that belongs to other runs, ChildRunError with the folder of a
    failed run, the UsageErrors of `run`, and Interrupted.
    """
    distributed = PartialState()
    display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
    if options.execution.is_separate and distributed.num_processes > 1:
        raise UsageError("--executor and --parallel exclude several processes per run; remove one")
    jobs: list[Job] = []
    for number, child in enumerate(children, 1):
        title = f"{child.title} ({number} of {len(children)})"
        choose = partial(choose_action, child, distributed.num_processes, smoke=options.smoke)
        action = processes.on_main_process(distributed, choose)
        display.say(f"{title}: {action.value}, {child.folder}")
        if action is Action.SKIP:
            continue
        child_options = replace(options, output=child.folder, resume=action is Action.RESUME, command=child.command)
        if options.execution.is_separate:
            jobs.append(_job(child, child_options, folder))
        else:
            _run_here(child, child_options, title, noun, resume_with)
    if jobs:
        run_jobs(jobs, options.execution, folder / LOGS, display.say, resume_with)


def _run_here(child: ChildRun, options: RunOptions, title: str, noun: str, resume_with: str) -> None:
    """Run a child in this process."""
    try:
        run(child.loaded, options)
    except Interrupted as interrupted:
        reason = str(interrupted).partition(";")[0]
        raise Interrupted(
            interrupted.exit_code - 128,
            f"{reason} of {title}; a checkpoint is saved, and the finished {noun} are kept. Resume with:\n  {resume_with}",
        ) from None
    except UsageError:
        raise
    except FtkError as error:
        raise ChildRunError(
            f"{title} failed in {child.folder}: {error}\nThe finished {noun} are kept. Resume with:\n  {resume_with}",
            error.exit_code,
        ) from error
    gc.collect()  # free the model and the optimizer before the next run
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _job(child: ChildRun, options: RunOptions, folder: Path) -> Job:
    """Return the job that calls `run_child` for a child."""
    arguments = {
        "name": child.loaded.name,
        "recipe": child.loaded.recipe.as_dict(),
        "folder": str(child.folder),
        "resume": options.resume,
        "smoke": options.smoke,
        "command": child.command,
        "verbosity": int(options.verbosity),
    }
    log = folder / LOGS / f"{'_'.join(child.folder.relative_to(folder).parts)}.log"
    return Job(child.title, child.folder, f"{__name__}:{run_child.__name__}", arguments, log)


def run_child(
    name: str, recipe: dict[str, Any], folder: str, *, resume: bool, smoke: bool, command: str, verbosity: int
) -> None:
    """Run a recipe in the process of a job. `recipe` has the values of a complete recipe by section and key."""
    loaded = replace(load_values(name, recipe, find_tasks(), f"the recipe of {name}"), name=name)
    options = RunOptions(Path(folder), resume, smoke, command, Console(), Verbosity(verbosity))
    with quiet_libraries(), processes.joined():
        run(loaded, options)


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
