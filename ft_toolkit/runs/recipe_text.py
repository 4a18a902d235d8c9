"""Write a short recipe with comments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ft_toolkit.core.yaml12 import dump_yaml


@dataclass(frozen=True)
class RecipeSection:
    """A section of a recipe: its value, the comment above it, and the comments above its keys."""

    name: str
    value: str | Mapping[str, Any]
    comment: str = ""
    key_comments: Mapping[str, str] = field(default_factory=dict)


def recipe_text(heading: str, sections: list[RecipeSection]) -> str:
    """Return the recipe as YAML, with `heading` as its first comment."""
    return "\n".join([_comment(heading, ""), *(_section(section) for section in sections)])


def recipe_values(sections: list[RecipeSection]) -> dict[str, Any]:
    """Return the values of the sections by name."""
    return {section.name: section.value for section in sections}


def _section(section: RecipeSection) -> str:
    comment = _comment(section.comment, "")
    if isinstance(section.value, str):
        return comment + dump_yaml({section.name: section.value})
    lines = [f"{section.name}:\n"]
    for key, value in section.value.items():
        lines.append(_comment(section.key_comments.get(key, ""), "  "))
        lines += [f"  {line}\n" for line in dump_yaml({key: value}).splitlines()]
    return comment + "".join(lines)


def _comment(text: str, indent: str) -> str:
    """Return a text as comment lines. YAML allows no control characters, which names of columns may have."""
    lines = ["".join(letter if letter.isprintable() else "\ufffd" for letter in line) for line in text.splitlines()]
    return "".join(f"{indent}# {line}\n" for line in lines)
