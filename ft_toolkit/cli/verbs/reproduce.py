"""`ftk reproduce`: run a recipe and compare its score with the published one."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    Overrides,
    Processes,
    Quiet,
    RecipeArgument,
    Resume,
    RunFolderOption,
    Verbose,
    verbosity_of,
)
from ft_toolkit.cli.launching import announce_recipe, check_recipe_launcher, start_processes
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe, shipped_recipes
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import GateError, UsageError, one_of
from ft_toolkit.core.fresh_process import start_early
from ft_toolkit.training.distributed.launch import current_command


def reproduce(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: RunFolderOption = None,
    smoke: Annotated[bool, typer.Option("--smoke", hidden=True)] = False,
    resume: Resume = False,
    processes: Processes = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe and check that it reaches its published score.

    Exits with code 3 if it does not. The recipe needs a 'reference' section.

    \b
    Examples:
      ftk reproduce sst2_full
      ftk reproduce glue_mrpc "training.seeds=[1, 2, 3]"
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load_data import check_sources
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    if smoke:
        raise UsageError(
            f"--smoke: a few steps on a few rows cannot reproduce a published score; to test the recipe, use "
            f"'ftk run {recipe} --smoke'"
        )
    path, tasks = find_recipe(recipe), find_tasks()
    loaded, published = load_recipe(path, overrides or [], tasks), load_recipe(path, [], tasks).recipe.reference
    if published is None:
        names = one_of(_with_reference(), more="ftk recipes")
        raise UsageError(f"{path} has no section 'reference' with a published score; recipes that have one: {names}")
    if loaded.recipe.reference != published:
        raise UsageError(
            f"the published score is only valid for the model and rows of the recipe, and {one_of(overrides or [])} changes "
            "them. Remove the settings of model, data and reference, or use 'ftk run'"
        )
    check_sources(loaded.recipe.data, loaded.task)
    check_recipe_launcher(loaded, processes)
    check_folder(output, resume=resume)
    announce_recipe(loaded, verbosity)
    start_processes(processes)
    start_early()
    load_libraries(verbosity)
    from ft_toolkit.core.run_records import read_results
    from ft_toolkit.evaluation.compare.reference import judge_reference
    from ft_toolkit.runs.seeds import run_recipe

    command = current_command(sys.argv[1:], os.environ)
    results = run_recipe(
        loaded, output=output, resume=resume, smoke=False, command=command, console=Console(), verbosity=verbosity
    )
    if not results:
        return
    better = loaded.task.metrics(loaded.recipe.task)[published.metric].greater_is_better
    verdict = judge_reference(published, read_results(Path(results["folder"])), greater_is_better=better)
    if not verdict.reached:
        raise GateError(verdict.text)
    print(verdict.text)


def _with_reference() -> list[str]:
    """Return the names of the shipped recipes with a published score."""
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks = find_tasks()
    return [
        name for name, path in shipped_recipes().items() if load_recipe(path, [], tasks).recipe.reference is not None
    ]


VERB = Verb(order=90, command=reproduce, takes_settings=True)
