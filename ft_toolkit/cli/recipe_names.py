"""Find a recipe by path or by the name of a shipped recipe, and complete both in the shell."""

import shlex
from pathlib import Path

from ft_toolkit.core.errors import UsageError, nearest, one_of
from ft_toolkit.core.shipped import shipped

# Endings of recipes; other files are data files. A .json file may be a recipe or data.
_RECIPE_ENDINGS = (".yaml", ".yml", ".json", "")


def shipped_recipes() -> dict[str, Path]:
    """Return the files of the shipped recipes by name, such as ner/wnut17_full, in sorted order."""
    folder = shipped("recipes")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: a path, or the full or last name of a shipped recipe. Raises UsageError."""
    path = Path(name)
    if path.is_file():
        if is_data(path):
            raise UsageError(
                f"{name} is a data file, not a recipe. Write its recipe with 'ftk init {shlex.quote(name)}'; the last line "
                "of its output is the command that runs the recipe"
            )
        return path
    recipes = shipped_recipes()
    recipe_name = name.removeprefix("recipes/").removesuffix(".yaml")
    matches = [key for key in recipes if recipe_name in (key, key.rpartition("/")[2])]
    if len(matches) == 1:
        return recipes[matches[0]]
    if matches:
        raise UsageError(f"{len(matches)} shipped recipes have the name '{name}'; choose one of {one_of(matches)}")
    if (path / "recipe.yaml").is_file():
        raise UsageError(f"{name} is a run folder; its recipe is {path / 'recipe.yaml'}")
    if path.is_dir():
        raise UsageError(
            f"{name} is a folder; a recipe is a YAML file. 'ftk recipes' lists the shipped recipes; for a folder with data "
            f"files, 'ftk init {shlex.quote(name)}' writes a recipe"
        )
    raise UsageError(
        f"recipe '{name}' not found: neither a file nor a shipped recipe.{_suggestion(path, recipe_name, recipes)} "
        "'ftk recipes' lists the shipped recipes"
    )


def is_recipe(name: str) -> bool:
    """Return whether a name means a recipe (a recipe file, or a shipped recipe) and not data."""
    path = Path(name)
    if path.exists():
        return path.is_file() and not is_data(path)
    return path.suffix in (".yaml", ".yml") or any(name in (key, key.rpartition("/")[2]) for key in shipped_recipes())


def is_data(path: Path) -> bool:
    """Return whether a file is data rather than a recipe. A JSON file is a recipe if its first key is a section of a recipe."""
    if path.suffix.lower() not in _RECIPE_ENDINGS:
        return True
    if path.suffix.lower() != ".json":
        return False
    from ft_toolkit.recipe.sections import Recipe

    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(200).lstrip("\ufeff \t\r\n{")
    return not start.startswith(tuple(f'"{section}"' for section in Recipe.model_fields))


def _suggestion(path: Path, recipe_name: str, recipes: dict[str, Path]) -> str:
    """Return " Did you mean ...?" with the nearest file, in its folder or here, and the nearest shipped recipe."""
    files = [file for folder in (path.parent, Path()) if folder.is_dir() for file in sorted(folder.glob("*.y*ml"))]
    by_stem = {file.stem: str(file) for file in files}
    by_last_name = {key.rpartition("/")[2]: key for key in recipes} | {key: key for key in recipes}
    file_match, recipe_match = nearest(path.stem, by_stem), nearest(recipe_name, by_last_name)
    suggested = [by_stem[file_match]] if file_match else []
    if recipe_match and recipes[by_last_name[recipe_match]].resolve() not in {
        Path(name).resolve() for name in suggested
    }:
        suggested.append(by_last_name[recipe_match])
    return f" Did you mean {' or '.join(map(repr, suggested))}?" if suggested else ""
