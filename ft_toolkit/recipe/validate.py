"""Validate one section of a recipe with its pydantic class, and turn pydantic's errors into mistakes."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ft_toolkit.core.errors import Mistake, did_you_mean
from ft_toolkit.core.yaml12 import KeyPath
from ft_toolkit.recipe.document import Document
from ft_toolkit.recipe.schema import Section
from ft_toolkit.recipe.suggestions import unknown_key


def validate_section(
    kind: type[BaseModel], values: dict[str, Any], at: KeyPath, document: Document, keys: Mapping[str, list[str]]
) -> tuple[Any, list[Mistake]]:
    """Return the section, or None if it is invalid, and its mistakes: at most one per key.

    `at` is the path of the section; `keys` are the keys of every section (see `suggestions.setting_names`).
    """
    try:
        return kind.model_validate(values), []
    except ValidationError as error:
        errors = error.errors()
    problems: dict[KeyPath, str] = {}
    for item in errors:
        path = _path_of(item["loc"], at, document)
        if path not in problems:
            problems[path] = _problem(path, dict(item), kind, keys)
        elif item["type"] == "literal_error":  # a number or a name, such as auto
            problems[path] = problems[path].replace("; found", f", or {item['ctx']['expected']}; found", 1)
    mistakes = [document.mistake(path, problem) for path, problem in problems.items()]
    unknown = {item["loc"][0] for item in errors if item["type"] == "extra_forbidden"}
    if len(unknown) == len(errors):  # pydantic checks conflicts between keys only if all keys are known
        known_values = {key: value for key, value in values.items() if key not in unknown}
        section, more_mistakes = validate_section(kind, known_values, at, document, keys)
        return section, mistakes + more_mistakes
    if issubclass(kind, Section) and at not in problems and (problem := kind.model_construct(**values).conflict()):
        mistakes.append(document.mistake(at, problem))
    return None, mistakes


def _path_of(location: tuple[int | str, ...], at: KeyPath, document: Document) -> KeyPath:
    """Return the key path of a pydantic location: the key, the keys below it that the user wrote, and list indices.

    Other parts are names that pydantic adds for the members of a union.
    """
    path = at
    for part in location:
        if path == at or isinstance(part, int) or (*path, part) in document.sources:
            path = (*path, str(part))
    return path


def _problem(path: KeyPath, item: dict[str, Any], kind: type[BaseModel], keys: Mapping[str, list[str]]) -> str:
    """Return the message for one pydantic error."""
    value, context = item["input"], item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return unknown_key(path, list(kind.model_fields), keys)
        case "missing":
            return "required; it has no default"
        case "literal_error":
            expected = context["expected"].replace("True", "true")
            allowed = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
            return f"must be {expected}; found {as_yaml(value)}.{did_you_mean(str(value), allowed)}"
        case "value_error":
            return str(context["error"])
        case "string_type" if isinstance(value, (int, float)):
            return f"must be text; found {as_yaml(value)}. Put it in quotes"
        case _:
            return f"{item['msg'].replace('Input should', 'must')}; found {as_yaml(value)}"


def as_yaml(value: Any) -> str:
    """Return a value as a recipe would show it, text in quotes."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else repr(value)
