"""`ftk copy`: copy a shipped recipe."""

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import RecipeArgument
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError


def copy(
    recipe: RecipeArgument, path: Annotated[Path, typer.Argument(help="The new file, or an existing folder.")]
) -> None:
    """Copy a recipe to a file of your own, to edit it.

    \b
    Examples:
      ftk copy demo my_task.yaml
      ftk copy ner/support_inbox_lora recipes/
    """
    source = find_recipe(recipe)
    target = path / source.name if path.is_dir() else path
    if target.exists():
        raise UsageError(f"{target} already exists; choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: folder {target.parent} not found")
    shutil.copyfile(source, target)
    name = shlex.quote(str(target))
    print(
        f"copied to {target}\nnext: edit it, check it with 'ftk run {name} --dry-run', and train with 'ftk run {name}'"
    )


VERB = Verb(order=120, command=copy)
