"""Several runs by one command, each a complete run in a folder of its own, and going on with them after an interruption."""

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState

from ft_toolkit.core import files
from ft_toolkit.core.errors import Interrupted, ResumeError, UsageError, one_of
from ft_toolkit.core.run_records import read_environment, read_recipe, read_run_results
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.report import write_report
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.training import checkpoint
from ft_toolkit.training.distributed import processes as ranks
from ft_toolkit.training.tracking import Display


@dataclass(frozen=True)
class OneOfSeveral:
    """One of several runs: what it is called on the console, its recipe, its folder, and the command that repeats it alone."""

    title: str
    loaded: LoadedRecipe
    folder: Path
    command: str


def run_several(runs: Sequence[OneOfSeveral], options: RunOptions, *, what: str, go_on: str) -> None:
    """Run what is not finished yet.

    `what` names the runs in the plural, `go_on` is the command that goes on with all of them after an interruption. Raises what
    `run` raises, and what `_plan` finds wrong in a folder.
    """
    state = PartialState()
    smoke = options.smoke
    display = Display(options.console, enabled=state.is_main_process, verbosity=options.verbosity)
    for number, one in enumerate(runs, 1):
        title = f"{one.title} ({number} of {len(runs)})"
        plan = ranks.agree(state, partial(_plan, one.loaded, one.folder, state.num_processes, smoke=smoke))
        display.say(f"{title}: {plan}, {one.folder}")
        if plan == "finished already":
            continue
        resume = plan == "going on"
        try:
            run(one.loaded, replace(options, output=one.folder, resume=resume, command=one.command))
        except Interrupted as stopped:
            where = str(stopped).partition(";")[0]
            raise Interrupted(
                stopped.exit_code - 128,
                f"{where} of {title}; a checkpoint is saved, and finished {what} are kept. Go on with:\n  {go_on}",
            ) from None
        gc.collect()  # the next run needs the room of this one's model and optimizer
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _plan(one: LoadedRecipe, target: Path, processes: int, *, smoke: bool) -> str:
    """Say what is to be done for a run: nothing, going on from its checkpoint, or starting.

    Raises ResumeError when what is there is finished, but was made by a recipe that trains differently, and UsageError when
    it is no run at all.
    """
    if (target / "results.json").is_file():
        results = read_run_results(target)
        if results.is_smoke != smoke:
            raise ResumeError(f"{target}: a smoke run and a real one do not go together; start a new run")
        saved = read_recipe(target) or {}
        before = read_environment(target).processes
        if not smoke and (changed := checkpoint.changes(saved, one.recipe.as_dict(), (before, processes))):
            raise ResumeError(
                f"{target} was made by another recipe: {'; '.join(changed)}. Undo that, or start a new run"
            )
        if not (target / "report.html").is_file():  # stopped between the numbers and the page
            write_report(target)
        shutil.rmtree(target / "checkpoints", ignore_errors=True)
        return "finished already"
    if files.find_folder(target / "checkpoints" / "last") is not None:
        return "going on"
    if target.is_dir():  # stopped before its first checkpoint: nothing to go on from
        strange = [] if (target / "recipe.yaml").is_file() else sorted(path.name for path in target.iterdir())
        if set(strange) - {"stand_in_model"}:  # which a smoke run writes first
            raise UsageError(f"{target} is not a run folder (it holds {one_of(strange[:5])}); choose another --output")
        shutil.rmtree(target)
    return "starting"
