"""ftk scale: whether more labelled rows would help."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Overrides, RecipeArgument, find_recipe
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core.errors import UsageError


def scale(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    shares: Annotated[
        str | None,
        typer.Option(help="Shares of the training rows, e.g. 0.1,0.3,1. Default: 1/16, 1/8 ... 1, from 50 rows on."),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="NAME,NAME: a curve for each, in the place of the recipe's model.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="e.g. 1,2,3: each share once per seed. Default: the recipe's seed or seeds.")
    ] = None,
    split: Annotated[str, typer.Option(help="The rows to score on: validation or test.")] = "validation",
    output: Annotated[
        Path | None, typer.Option(help="The folder. Default: runs/NAME-scale, with the next free number.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted ladder in --output.")] = False,
) -> None:
    """Train a recipe on growing shares of its rows, and say what twice the rows should bring."""
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.load import check_sources

    path = find_recipe(recipe)
    if split not in ("validation", "test"):
        raise UsageError(f"--split {split}: unknown split; allowed: validation, test")
    wanted = _shares(shares)
    names = None if models is None else [name for one in models.split(",") if (name := one.strip())]
    if names == []:
        raise UsageError(f"--models {models!r}: names of models, separated by commas, are needed")
    numbers = _seeds(seeds)
    from ft_toolkit.runs.learning_curve_plan import CurveRequest, load_models

    request = CurveRequest(
        recipe, path, overrides or [], wanted, names, numbers, "test" if split == "test" else "validation"
    )
    for loaded in load_models(request).values():
        check_sources(loaded.recipe.data, loaded.task)
    check_folder(output, resume=resume)
    load_libraries()
    from ft_toolkit.runs.learning_curve import run_learning_curve
    from ft_toolkit.runs.options import RunOptions

    command = shlex.join(["ftk", *sys.argv[1:]])
    run_learning_curve(request, RunOptions(output, resume, smoke=False, command=command, console=Console()))


def _shares(text: str | None) -> list[float] | None:
    """Return what --shares says. Raises UsageError."""
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--shares {text}: numbers separated by commas are needed, e.g. 0.1,0.3,1") from None
    wrong = [f"{share:g}" for share in found if not 0 < share <= 1]
    if wrong:
        raise UsageError(f"--shares {text}: found {', '.join(wrong)}; a share is more than 0 and at most 1")
    if len(set(found)) < 3 or len(set(found)) < len(found):
        raise UsageError(f"--shares {text}: at least three different shares are needed for a curve, each once")
    return found


def _seeds(text: str | None) -> list[int] | None:
    """Return what --seeds says. Raises UsageError."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < 2**32 for part in parts):
        raise UsageError(f"--seeds {text}: whole numbers from 0 on, separated by commas, are needed, e.g. 1,2,3")
    found = [int(part) for part in parts]
    if len(set(found)) < len(found):
        raise UsageError(f"--seeds {text}: each seed once")
    return found
