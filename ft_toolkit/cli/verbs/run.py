"""`ftk run`: train and evaluate one recipe."""

import os
import shlex
import sys
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    ExecutorOption,
    ExecutorOptions,
    Overrides,
    Parallel,
    Processes,
    Quiet,
    RecipeArgument,
    Resume,
    RunFolderOption,
    Verbose,
    parse_execution,
    verbosity_of,
)
from ft_toolkit.cli.launching import announce_recipe, check_recipe_launcher, start_processes
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.fresh_process import start_early
from ft_toolkit.runs.executors import LOCAL
from ft_toolkit.training.distributed.launch import current_command, is_launched


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: RunFolderOption = None,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Test the recipe in seconds: a few steps on a few rows, without the network."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, print rows, steps, memory and time, and do not train."),
    ] = False,
    resume: Resume = False,
    processes: Processes = None,
    executor: ExecutorOption = LOCAL,
    parallel: Parallel = None,
    executor_option: ExecutorOptions = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train and evaluate a recipe, and write its report.

    The run folder contains the model, the scores with intervals, the predictions, a report page and a model card.

    \b
    Examples:
      ftk run demo
      ftk run sst2_lora training.learning_rate=1e-4 --output runs/sst2
      ftk run my_task.yaml --dry-run
      ftk run my_task.yaml training.seeds=[1,2,3] --parallel 3
      ftk run my_task.yaml --output runs/my_task --resume
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load_data import check_sources
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    loaded = load_recipe(find_recipe(recipe), overrides or [], find_tasks())
    execution = parse_execution(executor, parallel, executor_option)
    if execution.is_separate and loaded.recipe.training.seeds is None:
        raise UsageError("--executor and --parallel require several runs: set training.seeds=[1,2,3], or remove them")
    # a launched process checks the rows together with the others, which would otherwise wait for it
    if not is_launched(os.environ) and (not smoke or loaded.recipe.data.has_local_files):
        check_sources(loaded.recipe.data, loaded.task)
    check_recipe_launcher(loaded, processes)
    if not dry_run:
        check_folder(output, resume=resume)
    announce_recipe(loaded, verbosity)
    if not dry_run:
        start_processes(processes)
        if not execution.is_separate:
            start_early()
    load_libraries(verbosity)
    if dry_run:
        from ft_toolkit.runs.dry_run import dry_run as print_plan

        print_plan(loaded, shlex.join(["ftk", *sys.argv[1:]]), Console())
        if loaded.recipe.hub.push:
            from ft_toolkit.hub.access import check_recipe

            check_recipe(loaded, print, create=False)
        return
    from ft_toolkit.runs.seeds import run_recipe

    command = current_command(sys.argv[1:], os.environ)
    run_recipe(
        loaded,
        output=output,
        resume=resume,
        smoke=smoke,
        command=command,
        console=Console(),
        verbosity=verbosity,
        execution=execution,
    )


VERB = Verb(order=10, command=run, takes_settings=True)
