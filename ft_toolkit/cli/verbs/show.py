"""`ftk show`: print a recipe with every default."""

from ft_toolkit.cli.arguments import Overrides, RecipeArgument
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb


def show(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Print a recipe with all defaults and the origin of each value.

    The output is a valid recipe. Origins are comments: a file and line, the command line, or the default.

    \b
    Examples:
      ftk show demo
      ftk show sst2_lora method=full > my_task.yaml
    """
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks

    loaded = load_recipe(find_recipe(recipe), overrides or [], find_tasks())
    lines = loaded.to_yaml().splitlines()
    width = max(len(line) for line in lines) + 2
    section = ""
    for line in lines:
        key = line.strip().partition(":")[0]
        if not line.startswith((" ", "-")):
            section = key
        is_setting = line.startswith("  ") and not line.startswith("   ")
        origin = loaded.origins.get(f"{section}.{key}") if is_setting else None
        print(f"{line:<{width}}# {origin}" if origin else line)


VERB = Verb(order=110, command=show, takes_settings=True)
