"""`ftk recipes`: list the shipped recipes."""

from typing import Annotated

import typer

from ft_toolkit.cli.arguments import print_columns
from ft_toolkit.cli.recipe_names import shipped_recipes
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError, did_you_mean, one_of


def recipes(
    task: Annotated[str | None, typer.Option(help="List only the recipes of this task, such as ner.")] = None,
) -> None:
    """List the shipped recipes with task, model, method and data.

    \b
    Examples:
      ftk recipes
      ftk recipes --task ner
    """
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks = find_tasks()
    if task is not None and task not in tasks:
        raise UsageError(f"--task {task}: unknown task; allowed: {one_of(tasks)}.{did_you_mean(task, tasks)}")
    rows = [("recipe", "task", "model", "method", "data")]
    for name, path in shipped_recipes().items():
        recipe = load_recipe(path, [], tasks).recipe
        if task in (None, recipe.task.name):
            data = recipe.data.card or recipe.data.hub or recipe.data.train or ""
            rows.append((name, recipe.task.name, recipe.model.title, recipe.method.name, data))
    print_columns(rows)
    print("\nrun one with 'ftk run RECIPE', or copy it with 'ftk copy RECIPE PATH'")


VERB = Verb(order=100, command=recipes)
