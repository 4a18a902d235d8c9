"""The rows that a command line names: a recipe, a data card, or files."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ft_toolkit.cli.recipe_names import find_recipe, is_recipe
from ft_toolkit.core.errors import UsageError

if TYPE_CHECKING:
    from ft_toolkit.runs.data_audit import AuditSource
    from ft_toolkit.runs.first_recipe import InitRequest


def read_sources(words: list[str], request: "InitRequest") -> "AuditSource":
    """Return the rows of a recipe, a data card or files with the options of `request`. Raises UsageError and DataError."""
    from ft_toolkit.data.cards import is_card
    from ft_toolkit.recipe.document import settings_of
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.runs.data_audit import read_card_rows, read_file_rows, read_recipe_rows
    from ft_toolkit.tasks import find_tasks

    settings = [word for word in words if "=" in word and not Path(word).exists()]
    names, tasks = [word for word in words if word not in settings], find_tasks()
    if len(names) == 1 and is_recipe(names[0]):
        if request.task or request.columns or request.model:
            raise UsageError(
                f"{names[0]} is a recipe, which names task, columns and model; change its settings instead, such as "
                "model.name=..."
            )
        return read_recipe_rows(load_recipe(find_recipe(names[0]), settings, tasks))
    if len(names) == 1 and is_card(names[0]):
        if request.columns or settings:
            raise UsageError(f"{names[0]} is a data card, which names its columns; leave out --column and settings")
        return read_card_rows(names[0], request.task, request.model, tasks)
    if not names:
        raise UsageError("name a recipe, a data card or data files")
    return read_file_rows(replace(request, files=names, settings=settings_of(settings)), tasks)
