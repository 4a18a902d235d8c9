"""`ftk reproduce`: run a recipe and compare its score with the published one."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Overrides, Processes, RecipeArgument, find_recipe
from ft_toolkit.cli.launching import check_recipe_launcher, start_processes
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core.errors import GateError, UsageError, one_of
from ft_toolkit.core.fresh_process import start_early
from ft_toolkit.core.shipped import shipped
from ft_toolkit.training.distributed.launch import current_command


def reproduce(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/NAME, with the next free number.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", hidden=True)] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --output.")] = False,
    processes: Processes = None,
) -> None:
    """Run a recipe and say whether it reaches its published reference. Exit code 3 where it does not."""
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load import check_sources
    from ft_toolkit.recipe.load import load_recipe
    from ft_toolkit.tasks import find_tasks

    if smoke:
        raise UsageError(
            f"--smoke: a few steps on a few rows prove nothing about a published result; 'ftk run {recipe} --smoke' "
            "tries the recipe"
        )
    path, tasks = find_recipe(recipe), find_tasks()
    loaded, published = load_recipe(path, overrides or [], tasks), load_recipe(path, [], tasks).recipe.reference
    if published is None:
        raise UsageError(f"{path} has no 'reference:' to reproduce; recipes that have one: {one_of(_with_reference())}")
    if loaded.recipe.reference != published:
        raise UsageError(
            f"the published result belongs to the recipe's own model and rows; with {one_of(overrides or [])} nothing is "
            "reproduced. Leave out what changes model, data or reference, or use 'ftk run'"
        )
    check_sources(loaded.recipe.data, loaded.task)
    check_recipe_launcher(loaded, processes)
    check_folder(output, resume=resume)
    start_processes(processes)
    start_early()
    load_libraries()
    from ft_toolkit.evaluation.compare.reference import judge_reference
    from ft_toolkit.report.console import print_results
    from ft_toolkit.runs.seeds import run_recipe

    command = current_command(sys.argv[1:], os.environ)
    results = run_recipe(loaded, output=output, resume=resume, smoke=False, command=command, console=Console())
    if not results:
        return
    print_results(results, Console())
    better = loaded.task.metrics(loaded.recipe.task)[published.metric].greater_is_better
    verdict = judge_reference(published.model_dump(), results, greater_is_better=better)
    if not verdict.reached:
        raise GateError(verdict.text)
    print(verdict.text)


def _with_reference() -> list[str]:
    """Return the shipped recipes that name a published result."""
    from ft_toolkit.recipe.load import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks, folder = find_tasks(), shipped("recipes")
    paths = sorted(folder.rglob("*.yaml"))
    return [
        path.relative_to(folder).with_suffix("").as_posix()
        for path in paths
        if load_recipe(path, [], tasks).recipe.reference is not None
    ]
