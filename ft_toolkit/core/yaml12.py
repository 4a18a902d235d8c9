"""Read and write recipes as YAML 1.2 (core schema without 0x and 0o), with the line of every key; duplicate keys are errors.

PyYAML follows YAML 1.1, where `3e-4` is text, `no` (a language code) is False, `010` is 8 and `1:30` is 90.
Here `3e-4` is a number, `no` is text, `010` is 10 and `1:30` is text. Tags, anchors and aliases are errors, so that a recipe
shows each value where it is used.
"""

import re
from typing import Any

import yaml
from yaml.reader import ReaderError

KeyPath = tuple[str, ...]
# The longest recipe of the package has 3,000 characters. PyYAML reads a million in 2 s.
LONGEST_TEXT = 2**20


class YamlError(ValueError):
    """Invalid YAML, or YAML that this reader does not support. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call] # PyYAML's stubs
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise YamlError(
                line, f"anchors and aliases (&{event.anchor}, *{event.anchor}) are not supported; repeat the value"
            )
        if (tag := getattr(event, "tag", None)) is not None:
            raise YamlError(line, f"tags are not supported; remove '{tag}'")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or this module would read as another type."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF"))
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value, 10)
    except ValueError:  # Python converts at most 4,300 digits
        raise YamlError(node.start_mark.line + 1, f"a number with {len(node.value):,} digits is too long") from None


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Return the node of a text. In quotes, U+0085 is escaped; without quotes, it would be read as a line break."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the value of a YAML document and the line (from 1) of every key in it, by path.

    Raises YamlError for a syntax error, a duplicate key, a key that is not text, a tag, an anchor or an alias.
    """
    lines: dict[KeyPath, int] = {}
    if len(text) > LONGEST_TEXT:
        raise YamlError(1, f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} are allowed")
    try:
        loader = _Loader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML") from None
    try:
        node = loader.get_single_node()
        if node is None:
            return None, lines
        _record_lines(node, (), lines)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else 1, problem) from None
    except RecursionError:
        raise YamlError(1, "lists or mappings are nested too deeply") from None
    finally:
        loader.dispose()


def parse_value(text: str) -> Any:
    """Return the value of the text after `key=` on the command line (`3e-4`, `true`, `[a, b]`, plain text)."""
    return parse_yaml(text)[0]


def dump_yaml(value: Any) -> str:
    """Return plain values as YAML, in their order. `parse_yaml` reads the same values back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _record_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _record_lines(item, (*path, str(index)), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError(line, "a key must be plain text")
            if key.tag != "tag:yaml.org,2002:str":
                raise YamlError(line, f"a key must be text; put it in quotes: '{key.value}'")
            here = (*path, key.value)
            if here in lines:
                raise YamlError(line, f"key '{'.'.join(here)}' is duplicate (first on line {lines[here]})")
            _record_lines(value, here, lines)
            lines[here] = line
