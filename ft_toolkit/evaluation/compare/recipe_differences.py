"""The recipe settings in which runs differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.yaml12 import dump_yaml

# Sections that say where a run reports to. They do not change its result.
_IGNORED_SECTIONS = ("tracking", "hub")
NOT_SET = "-"


@dataclass(frozen=True)
class SettingDifference:
    """A setting in dotted form, such as training.learning_rate, and its value in each recipe as text.

    The value is `NOT_SET` in a recipe that does not have the setting.
    """

    setting: str
    values: tuple[str, ...]


def recipe_differences(recipes: Sequence[Mapping[str, Any] | None]) -> list[SettingDifference]:
    """Return the settings whose values differ between recipes, in the order of the recipes.

    Recipes that are None are not compared; they have the value `NOT_SET`. The sections tracking and hub are ignored.
    """
    flat = [None if recipe is None else dict(_settings(recipe)) for recipe in recipes]
    compared = [settings for settings in flat if settings is not None]
    differences = []
    for name in dict.fromkeys(name for settings in compared for name in settings):
        if len({settings.get(name, NOT_SET) for settings in compared}) > 1:
            values = tuple(NOT_SET if settings is None else settings.get(name, NOT_SET) for settings in flat)
            differences.append(SettingDifference(name, values))
    return differences


def _settings(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the value of each setting."""
    for key, value in section.items():
        if not prefix and key in _IGNORED_SECTIONS:
            continue
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _as_text(value)


def _as_text(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_as_text, value))}]"
    return dump_yaml(value).removesuffix("...\n").strip()
