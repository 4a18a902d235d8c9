"""Start and check several processes for the verbs that train."""

import os
import sys
from typing import TYPE_CHECKING

from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.training.distributed.launch import check_launcher, is_launched, launch

if TYPE_CHECKING:
    from ft_toolkit.recipe.load_recipe import LoadedRecipe


def announce_recipe(loaded: "LoadedRecipe", verbosity: Verbosity) -> None:
    """Print the recipe before the heavy libraries are loaded, so that the first output comes within a second.

    A process that a launcher started prints nothing.
    """
    if verbosity >= Verbosity.NORMAL and not is_launched(os.environ):
        print(f"recipe     {loaded.name} ({loaded.recipe.task.name})", flush=True)


def check_recipe_launcher(loaded: "LoadedRecipe", processes: int | None) -> None:
    """Raise UsageError if the launcher's settings contradict the recipe."""
    training = loaded.recipe.training
    check_launcher(
        os.environ,
        processes=processes,
        mixed_precision=training.mixed_precision,
        max_grad_norm=training.max_grad_norm,
    )


def start_processes(processes: int | None) -> None:
    """With `processes` > 1, run this command in that many processes and exit with their exit code."""
    if processes is not None and processes > 1 and not is_launched(os.environ):
        sys.exit(launch(processes, sys.argv[1:]))
