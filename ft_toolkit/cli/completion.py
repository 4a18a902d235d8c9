"""Shell completion of recipes, run folders and settings. Options with choices complete without code here."""

from pathlib import Path

from ft_toolkit.cli.recipe_names import shipped_recipes


def complete_recipe(incomplete: str) -> list[str]:
    """Return the shipped recipes, YAML files and folders that begin with the typed text."""
    shipped = [name for name in shipped_recipes() if name.startswith(incomplete)]
    return [*shipped, *_matching_paths(incomplete, endings=(".yaml", ".yml"))]


def complete_run(incomplete: str) -> list[str]:
    """Return the folders that begin with the typed text; without text, the runs in runs/ and evaluations/."""
    if incomplete:
        return _matching_paths(incomplete, endings=())
    return [str(path.parent) for top in ("runs", "evaluations") for path in sorted(Path(top).glob("*/results.json"))]


def complete_setting(incomplete: str) -> list[str]:
    """Return the settings that begin with the typed text, each with an equals sign."""
    from ft_toolkit.recipe.suggestions import setting_names
    from ft_toolkit.tasks import find_tasks

    names = setting_names(find_tasks().values())
    settings = [f"{section}.{key}=" for section, keys in names.items() for key in keys]
    return [setting for setting in settings if setting.startswith(incomplete)]


def _matching_paths(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Return the folders, and the files with one of the endings, whose path begins with the typed text."""
    folder, _, start = incomplete.rpartition("/")
    top = Path(f"{folder}/") if folder or incomplete.startswith("/") else Path()
    if not top.is_dir():
        return []
    paths = sorted(path for path in top.iterdir() if path.name.startswith(start))
    return [f"{path}/" if path.is_dir() else str(path) for path in paths if path.is_dir() or path.suffix in endings]
