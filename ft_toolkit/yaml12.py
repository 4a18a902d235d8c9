"""YAML as recipes use it: the YAML 1.2 core schema, with the line of every key, and duplicate keys refused.

PyYAML follows YAML 1.1, where `3e-4` is text, `no` (a language code) is False, `010` is 8 and `1:30` is 90.
Here `3e-4` is a number, `no` is text, `010` is 10 and `1:30` is text.
"""

import re
from typing import Any

import yaml

KeyPath = tuple[str, ...]


class YamlError(ValueError):
    """Not valid YAML, or not what this reader accepts. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value, 10))


def parse_yaml(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the value of a YAML document and the line (from 1) of every key in it, by path.

    Raises YamlError for a syntax error, a duplicate key, a key that is not text, or a tag such as !!python/object.
    """
    loader = _Loader(text)
    lines: dict[KeyPath, int] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            return None, lines
        _note_lines(node, (), lines)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, str(error.problem or error.context)) from None
    except yaml.YAMLError as error:
        raise YamlError(1, str(error)) from None
    finally:
        loader.dispose()


def parse_value(text: str) -> Any:
    """Return the value that `text` has on the right of `key=` on the command line (`3e-4`, `true`, `[a, b]`, words)."""
    return parse_yaml(text)[0]


def _note_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*path, str(index)), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise YamlError(line, "a key must be plain text")
            here = (*path, key.value)
            if here in lines:
                raise YamlError(line, f"key '{'.'.join(here)}' stands twice (first on line {lines[here]})")
            _note_lines(value, here, lines)
            lines[here] = line
