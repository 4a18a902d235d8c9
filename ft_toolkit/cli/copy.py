"""`ftk copy`: copy a shipped recipe."""

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import RecipeArgument, find_recipe
from ft_toolkit.core.errors import UsageError


def copy(
    recipe: RecipeArgument, path: Annotated[Path, typer.Argument(help="The new file, or a folder to put it in.")]
) -> None:
    """Copy a shipped recipe, to change it."""
    source = find_recipe(recipe)
    target = path / source.name if path.is_dir() else path
    if target.exists():
        raise UsageError(f"{target} exists already; choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")
    shutil.copyfile(source, target)
    print(f"{target}    run it with: ftk run {shlex.quote(str(target))}")
