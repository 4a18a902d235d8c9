"""Start several runs with one command, each in a separate folder, and resume them after an interruption.

By default the runs are computed in this process, one after the other. With another executor, or with --parallel, each run
is a job (see `runs/executors/`).
"""

import gc
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.console import Console

from ft_toolkit.core.errors import ChildRunError, FtkError, Interrupted, UsageError
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import LOGS
from ft_toolkit.core.run_lock import RunLock
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_values
from ft_toolkit.runs.action import Action, choose_action
from ft_toolkit.runs.executors.base import Job
from ft_toolkit.runs.executors.run_jobs import run_jobs
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.distributed import processes
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
        choose = partial(action_of, child, distributed.num_processes, smoke=options.smoke)
        action = processes.on_main_process(distributed, choose)
        display.say(f"{title}: {action.value}, {child.folder}")
        if action is Action.SKIP:
            continue
        child_options = replace(options, output=child.folder, resume=child.folder.is_dir(), command=child.command)
        if options.execution.is_separate:
            jobs.append(_job(child, child_options, folder))
        else:
            _run_here(child, child_options, title, noun, resume_with)
    if jobs:
        run_jobs(jobs, options.execution, folder / LOGS, display.say, resume_with)


def action_of(child: ChildRun, world_size: int, *, smoke: bool) -> Action:
    """Return whether to start, resume or skip a child, with the lock of its folder if that exists."""
    with RunLock(child.folder) if child.folder.is_dir() else nullcontext():
        return choose_action(child.folder, child.loaded, world_size, smoke=smoke)


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
