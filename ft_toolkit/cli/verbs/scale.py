"""`ftk scale`: measure a learning curve, to see whether more labelled rows would help."""

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
    SplitChoice,
    Verbose,
    parse_execution,
    verbosity_of,
)
from ft_toolkit.cli.launching import announce_recipe
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.executors import LOCAL


def scale(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    shares: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE,...",
            help="Shares of the training rows, such as 0.1,0.3,1. Default: 1/16, 1/8, 1/4, 1/2 and 1, if 50 rows or more.",
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="One curve per model. Default: the model of the recipe.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="SEED,...", help="Run each share once per seed, such as 1,2,3. Default: the seeds of the recipe."
        ),
    ] = None,
    split: Annotated[SplitChoice, typer.Option(help="The split to score on.")] = "validation",
    output: Annotated[
        Path | None,
        typer.Option(help="Learning curve folder. Default: runs/NAME-scale, or NAME-scale-2, ... if it exists."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the interrupted learning curve in the folder of --output.")
    ] = False,
    executor: ExecutorOption = LOCAL,
    parallel: Parallel = None,
    executor_option: ExecutorOptions = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Measure a learning curve and predict the gain from more rows.

    Trains the recipe on growing shares of the training rows, scores every run on the same rows, and fits a power law.

    \b
    Examples:
      ftk scale demo
      ftk scale my_task.yaml --shares 0.1,0.3,1 --seeds 1,2,3
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load_data import check_sources

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    execution = parse_execution(executor, parallel, executor_option)
    path = find_recipe(recipe)
    share_values, model_names, seed_values = _parse_shares(shares), _parse_models(models), _parse_seeds(seeds)
    from ft_toolkit.runs.learning_curve_plan import CurveRequest, load_models

    request = CurveRequest(recipe, path, overrides or [], share_values, model_names, seed_values, split)
    recipes = list(load_models(request).values())
    for loaded in recipes:
        check_sources(loaded.recipe.data, loaded.task)
    check_folder(output, resume=resume)
    for loaded in recipes:
        announce_recipe(loaded, verbosity)
    load_libraries(verbosity)
    from ft_toolkit.runs.learning_curve import run_learning_curve
    from ft_toolkit.runs.options import RunOptions

    command = shlex.join(["ftk", *sys.argv[1:]])
    run_learning_curve(request, RunOptions(output, resume, False, command, Console(), verbosity, execution))


def _parse_shares(text: str | None) -> list[float] | None:
    """Return the values of --shares. Raises UsageError."""
    if text is None:
        return None
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--shares {text}: must be numbers separated by commas, such as 0.1,0.3,1") from None
    invalid = [f"{share:g}" for share in shares if not 0 < share <= 1]
    if invalid:
        raise UsageError(f"--shares {text}: a share must be greater than 0 and at most 1; found {', '.join(invalid)}")
    if len(set(shares)) < 3 or len(set(shares)) < len(shares):
        raise UsageError(f"--shares {text}: a curve requires at least three different shares, each once")
    return shares


def _parse_models(text: str | None) -> list[str] | None:
    """Return the names of --models. Raises UsageError."""
    if text is None:
        return None
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UsageError(f"--models {text!r}: must be model names separated by commas")
    return names


def _parse_seeds(text: str | None) -> list[int] | None:
    """Return the values of --seeds. Raises UsageError."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < 2**32 for part in parts):
        raise UsageError(f"--seeds {text}: must be whole numbers from 0, separated by commas, such as 1,2,3")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: each seed may occur only once")
    return seeds


VERB = Verb(order=80, command=scale, takes_settings=True)
