"""Arguments and helpers that several verbs share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.core.shipped import shipped

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped recipe (see 'ftk recipes').")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value ...; wins over the recipe.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Train in so many processes on this machine, each with the whole model.")
]
Split = Annotated[str | None, typer.Option(help="The rows to look at. Default: test, where there are any.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write all numbers to this file.")]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given by path or by the name of a shipped one. Raises RecipeError."""
    if Path(name).is_file():
        return Path(name)
    folder = shipped("recipes")
    known = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    wanted = name.removeprefix("recipes/").removesuffix(".yaml")
    matches = [key for key in known if wanted in (key, key.rpartition("/")[2])]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UsageError(f"more than one recipe is called '{name}'; say which: {one_of(matches)}")
    hint = did_you_mean(wanted, [*known, *(key.rpartition("/")[2] for key in known)])
    raise UsageError(f"no recipe '{name}': neither a file here nor one of {one_of(known)}.{hint}")


def parse_columns(pairs: list[str] | None) -> dict[str, str]:
    """Return what --column said. Raises UsageError."""
    columns = {}
    for pair in pairs or []:
        key, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair}: COLUMN=NAME is needed, e.g. text=review")
        columns[key] = name
    return columns


def check_targets(*paths: Path | None) -> None:
    """Raise UsageError when the folder of an output file does not exist."""
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{path}: no such folder {path.parent}")


def print_columns(lines: Sequence[Sequence[str]]) -> None:
    """Print lines of cells, each column as wide as it needs to be: what is cut off would hide something."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
