"""A recipe as the user wrote it: plain values, and the source (file and line, or command line) of each key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import Mistake, RecipeError, one_of
from ft_toolkit.core.yaml12 import LONGEST_TEXT, KeyPath, YamlError, parse_value, parse_yaml
from ft_toolkit.recipe.sections import Recipe

COMMAND_LINE = "command line"

# Pairs of settings that exclude each other: setting one on the command line removes the other from the file.
_EXCLUSIVE: dict[KeyPath, KeyPath] = {
    ("training", "seed"): ("training", "seeds"),
    ("training", "seeds"): ("training", "seed"),
    ("data", "hub"): ("data", "card"),
    ("data", "card"): ("data", "hub"),
}


# Names of columns may hold any character, such as '#1 String', which is a comment in YAML.
_COLUMNS: KeyPath = ("data", "columns")


@dataclass
class Document:
    """The unchecked values of a recipe file and of the command line."""

    path: Path
    values: dict[str, Any]
    # Key path -> "FILE:LINE" or "command line".
    sources: dict[KeyPath, str]
    # Key paths that the command line set, in order.
    overridden: list[KeyPath] = field(default_factory=list)

    def source(self, path: KeyPath) -> str:
        """Return the source of a key; for a key that the user did not write, the source of the nearest key above it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.sources:
                return self.sources[path[:end]]
        return str(self.path)

    def mistake(self, path: KeyPath, problem: str) -> Mistake:
        """Return a mistake at a key, with the key's source."""
        return Mistake(self.source(path), ".".join(path), problem)

    def value(self, section: str, key: str) -> Any:
        """Return a value as the user wrote it, valid or not, or None."""
        values = self.values.get(section)
        return values.get(key) if isinstance(values, dict) else None

    def named_section(self, section: str) -> tuple[Any, dict[str, Any]]:
        """Return name and values of `task` or `method`: a mapping with the key `name`, or the name alone."""
        values = self.values.get(section)
        if isinstance(values, dict):
            return values.get("name"), values
        return values, {"name": values}

    def override(self, words: list[str]) -> list[Mistake]:
        """Apply the `section.key=value` words of the command line in order; later words win. Return the mistakes."""
        mistakes = []
        remaining = list(words)
        while remaining:
            word = remaining.pop(0)
            dotted, equals, text = word.partition("=")
            keys = tuple(dotted.strip().split("."))
            if equals and all(keys):
                mistakes += self._override_one(keys, text)
                continue
            # "training.seed 3" and "training.seed = 3" arrive as two or three words
            value_words = [part for part in remaining[:2] if part != "="] if remaining[:1] == ["="] else remaining[:1]
            split_in_two = "." in word and all(keys) and bool(value_words) and "=" not in value_words[0]
            if split_in_two:
                del remaining[: remaining.index(value_words[0]) + 1]
            remedy = f"; write {dotted}={value_words[0]}" if split_in_two else ", e.g. training.learning_rate=1e-4"
            mistakes.append(Mistake(COMMAND_LINE, "", f"'{word}' is not of the form section.key=value{remedy}"))
        return mistakes

    def _override_one(self, keys: KeyPath, text: str) -> list[Mistake]:
        """Set one key to a YAML value; return the mistake if the value or a key above it does not allow this."""
        dotted = ".".join(keys)
        try:
            value = _parse_column(text) if keys[:-1] == _COLUMNS else parse_value(text)
        except YamlError as error:
            return [Mistake(COMMAND_LINE, dotted, f"'{text}' is not a YAML value: {error.problem}")]
        parent = self.values
        for depth, key in enumerate(keys[:-1], 1):
            child = parent.get(key)
            if isinstance(child, str) and keys[:depth] in (("task",), ("method",)):
                child = {"name": child}  # the short form `method: lora`
            if child is not None and not isinstance(child, dict):
                above = ".".join(keys[:depth])
                problem = f"'{above}' is {child!r} ({self.source(keys[:depth])}) and has no keys; set {above}=VALUE"
                return [Mistake(COMMAND_LINE, dotted, problem)]
            parent[key] = parent = {} if child is None else child
            self.sources.setdefault(keys[:depth], COMMAND_LINE)
        parent[keys[-1]] = value
        excluded = _EXCLUSIVE.get(keys)
        if value is not None and excluded is not None and excluded not in self.overridden:
            parent.pop(excluded[-1], None)
        self.sources = {path: source for path, source in self.sources.items() if path[: len(keys)] != keys}
        self.sources[keys] = COMMAND_LINE
        self.overridden.append(keys)
        return []


def _parse_column(text: str) -> Any:
    """Return the name of a column, or a list of names. Any text that is not a YAML text or list is a name itself."""
    try:
        value = parse_value(text)
    except YamlError:
        return text
    is_value = isinstance(value, (str, list)) or text.strip() in ("null", "")
    return value if is_value else text


def read_document(path: Path) -> Document:
    """Read a recipe file. Raises RecipeError if it cannot be read, or is not a YAML mapping."""
    try:
        if path.stat().st_size > 4 * LONGEST_TEXT:  # a character has at most four bytes
            raise RecipeError([Mistake(str(path), "", f"not a recipe: the file has {path.stat().st_size:,} bytes")])
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text ({error.reason})"
        raise RecipeError([Mistake(str(path), "", f"cannot be read: {reason}")]) from None
    try:
        values, lines = parse_yaml(text)
    except YamlError as error:
        raise RecipeError([Mistake(f"{path}:{error.line}", "", f"not a valid recipe: {error.problem}")]) from None
    if not isinstance(values, dict):
        problem = f"a recipe must be a mapping with the sections {one_of(Recipe.model_fields)}"
        raise RecipeError([Mistake(f"{path}:1", "", problem)])
    return Document(path, values, {key: f"{path}:{line}" for key, line in lines.items()})


def document_of(name: str, values: Mapping[str, Any], source: str) -> Document:
    """Return the document of a recipe given as Python values; `source` is the source of every key."""
    sections: list[KeyPath] = [(section,) for section in Recipe.model_fields]
    return Document(Path(name), dict(values), dict.fromkeys([*sections, *_key_paths(values, ())], source))


def settings_of(words: list[str]) -> dict[str, Any]:
    """Return the values of `section.key=value` words by section and key. Raises RecipeError."""
    document = Document(Path(COMMAND_LINE), {}, {})
    if mistakes := document.override(words):
        raise RecipeError(mistakes)
    return document.values


def _key_paths(values: Mapping[str, Any], above: KeyPath) -> Iterator[KeyPath]:
    """Yield the path of every key in nested mappings."""
    for key, value in values.items():
        yield (*above, str(key))
        if isinstance(value, Mapping):
            yield from _key_paths(value, (*above, str(key)))
