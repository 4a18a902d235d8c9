"""`ftk recipes`: list the shipped recipes."""

from ft_toolkit.cli.arguments import print_columns
from ft_toolkit.core.shipped import shipped


def recipes() -> None:
    """List the shipped recipes with task, model, method and data."""
    from ft_toolkit.recipe.load import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks, folder = find_tasks(), shipped("recipes")
    lines = [("recipe", "task", "model", "method", "data")]
    for path in sorted(folder.rglob("*.yaml")):
        found = load_recipe(path, [], tasks).recipe
        data = found.data.card or found.data.train or ""
        name = path.relative_to(folder).with_suffix("").as_posix()
        lines.append((name, found.task.name, found.model.title, found.method.name, data))
    print_columns(lines)
