"""Start and check several processes for the verbs that train."""

import os
import sys
from typing import TYPE_CHECKING

from ft_toolkit.training.distributed.launch import check_launcher, is_launched, launch

if TYPE_CHECKING:
    from ft_toolkit.recipe.load import LoadedRecipe


def check_recipe_launcher(loaded: "LoadedRecipe", processes: int | None) -> None:
    """Raise UsageError where the launcher's settings contradict the recipe."""
    training = loaded.recipe.training
    check_launcher(
        os.environ,
        processes=processes,
        mixed_precision=training.mixed_precision,
        max_grad_norm=training.max_grad_norm,
    )


def start_processes(processes: int | None) -> None:
    """Leave this process to start `processes` others that do the same as this was to do, if several are wanted."""
    if processes is not None and processes > 1 and not is_launched(os.environ):
        sys.exit(launch(processes, sys.argv[1:]))
