"""`ftk show`: print a recipe with every default."""

from ft_toolkit.cli.arguments import Overrides, RecipeArgument, find_recipe


def show(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Print a recipe resolved to the last default, each value with where it comes from."""
    from ft_toolkit.recipe.load import load_recipe
    from ft_toolkit.tasks import find_tasks

    loaded = load_recipe(find_recipe(recipe), overrides or [], find_tasks())
    section, pad = "", 0
    lines = loaded.to_yaml().splitlines()
    pad = max(len(line) for line in lines) + 2
    for line in lines:
        key = line.strip().partition(":")[0]
        if not line.startswith((" ", "-")):
            section = key
        origin = (
            loaded.origins.get(f"{section}.{key}") if line.startswith("  ") and not line.startswith("   ") else None
        )
        print(f"{line:<{pad}}# {origin}" if origin else line)
