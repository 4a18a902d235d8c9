"""`ftk folds`: cross-validation of a recipe."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    ExecutorOption,
    ExecutorOptions,
    Overrides,
    Parallel,
    Quiet,
    RecipeArgument,
    Verbose,
    parse_execution,
    verbosity_of,
)
from ft_toolkit.cli.launching import announce_recipe
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.runs.executors import LOCAL


def folds(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    k: Annotated[int, typer.Option("--k", min=2, help="Number of folds.")] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the cross-validation. Default: runs/NAME-folds, or NAME-folds-2, ... if it exists."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the interrupted cross-validation in the folder of --output.")
    ] = False,
    executor: ExecutorOption = LOCAL,
    parallel: Parallel = None,
    executor_option: ExecutorOptions = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Cross-validate a recipe on its training rows.

    Each fold is scored by a model that was trained on the other folds. The folds are stratified, and rows of a group
    (data.group) stay together. The predictions of all rows are kept. Test rows are not used.

    \b
    Examples:
      ftk folds demo
      ftk folds my_task.yaml data.group=user --k 10 --parallel 2
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load_data import check_sources

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    execution = parse_execution(executor, parallel, executor_option)
    path = find_recipe(recipe)
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    loaded = load_recipe(path, overrides or [], find_tasks())
    check_sources(loaded.recipe.data, loaded.task)
    check_folder(output, resume=resume)
    announce_recipe(loaded, verbosity)
    load_libraries(verbosity)
    from ft_toolkit.runs.folds import FoldsRequest, run_folds
    from ft_toolkit.runs.options import RunOptions

    command = shlex.join(["ftk", *sys.argv[1:]])
    request = FoldsRequest(recipe, path, overrides or [], k)
    run_folds(request, RunOptions(output, resume, False, command, Console(), verbosity, execution))


VERB = Verb(order=82, command=folds, takes_settings=True)
