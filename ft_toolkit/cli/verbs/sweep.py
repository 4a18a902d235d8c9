"""`ftk sweep`: search for good settings of a recipe."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    ExecutorOption,
    ExecutorOptions,
    Parallel,
    Quiet,
    RecipeArgument,
    Verbose,
    parse_execution,
    verbosity_of,
)
from ft_toolkit.cli.completion import complete_setting
from ft_toolkit.cli.launching import announce_recipe
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.executors import LOCAL


def sweep(
    recipe: RecipeArgument,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SECTION.KEY=VALUES...",
            help="Settings to vary: a range such as training.learning_rate=1e-5..1e-3, or a list such as method.r=4,8,16. A "
            "positive range over a factor of 10 or more is searched on a logarithmic scale. "
            "Settings with one value are the same in all trials.",
            autocompletion=complete_setting,
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Number of trials of all processes together.")] = 20,
    pruner: Annotated[
        Literal["median", "halving", "none"],
        typer.Option(
            help="Rule that ends trials early: below the median of earlier trials, successive halving, or none."
        ),
    ] = "median",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the sweep. The folder of the same sweep is resumed or joined. Default: runs/NAME-sweep, or "
            "NAME-sweep-2, ... if it exists."
        ),
    ] = None,
    executor: ExecutorOption = LOCAL,
    parallel: Parallel = None,
    executor_option: ExecutorOptions = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Search for good settings of a recipe.

    Optuna chooses the settings of each trial, and the validation score selects the best one, which is scored once on the test
    rows. After an interruption, or to add processes and machines, run the same command with --output.

    \b
    Examples:
      ftk sweep demo training.learning_rate=1e-5..1e-3
      ftk sweep my_task.yaml training.learning_rate=1e-5..1e-3 method.r=4,8,16 method=lora --trials 40
      ftk sweep my_task.yaml training.learning_rate=1e-5..1e-3 --output runs/search --parallel 2
    """
    from ft_toolkit.core.run_folder import check_sweep_folder
    from ft_toolkit.data.load_data import check_sources
    from ft_toolkit.runs.search_space import split_words

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    execution = parse_execution(executor, parallel, executor_option)
    split_words(settings)
    if find_spec("optuna") is None:
        raise UsageError("'ftk sweep' requires Optuna, which is not installed; pip install 'ft-toolkit[sweep]'")
    path = find_recipe(recipe)
    if output is not None:
        check_sweep_folder(output)
    load_libraries(verbosity)
    from ft_toolkit.runs.options import RunOptions
    from ft_toolkit.runs.sweep import SweepRequest, run_sweep

    request = SweepRequest(recipe, path, tuple(settings), trials, pruner)
    loaded = request.check()
    check_sources(loaded.recipe.data, loaded.task)
    announce_recipe(loaded, verbosity)
    command = shlex.join(["ftk", *sys.argv[1:]])
    run_sweep(request, RunOptions(output, False, False, command, Console(), verbosity, execution))


VERB = Verb(order=84, command=sweep, takes_settings=True)
