"""`ftk run`: train and evaluate one recipe."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Overrides, Processes, RecipeArgument, find_recipe
from ft_toolkit.cli.launching import check_recipe_launcher, start_processes
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core.fresh_process import start_early
from ft_toolkit.training.distributed.launch import current_command, is_launched


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/NAME, with the next free number.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps on a few rows, without the network: for CI.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all and show rows, steps, weights, memory and time; train nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --output.")] = False,
    processes: Processes = None,
) -> None:
    """Train, evaluate, prove and document one recipe."""
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load import check_sources
    from ft_toolkit.recipe.load import load_recipe
    from ft_toolkit.tasks import find_tasks

    path = find_recipe(recipe)
    loaded = load_recipe(path, overrides or [], find_tasks())
    # one of several processes finds missing rows together with the others, who would wait for it in vain
    if not is_launched(os.environ) and (not smoke or loaded.recipe.data.train is not None):
        check_sources(loaded.recipe.data, loaded.task)
    check_recipe_launcher(loaded, processes)
    if not dry_run:
        check_folder(output, resume=resume)
        start_processes(processes)
        start_early()
    load_libraries()
    if dry_run:
        from ft_toolkit.runs.dry_run import dry_run as show_plan

        show_plan(loaded, Console())
        if loaded.recipe.hub.push:
            from ft_toolkit.hub.access import check_recipe

            check_recipe(loaded, print, make=False)
        return
    from ft_toolkit.runs.seeds import run_recipe

    command = current_command(sys.argv[1:], os.environ)
    run_recipe(loaded, output=output, resume=resume, smoke=smoke, command=command, console=Console())
