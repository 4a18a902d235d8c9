"""Read cells of text files that hold several values: lists and objects as JSON, Python and numpy print them.

    JSON      ["a", "b"]    {"text": ["a"], "start": [0]}
    Python    ['a', 'b']    ('a', 'b')    {'a', 'b'}    {'text': ['a'], 'start': [0]}
    numpy     ['a' 'b']     [1. 0. 0.]    array(['a', 'b'], dtype=object)    [np.str_('a'), np.str_('b')]

All of them are read by `read_printed`, for labels, words, tags, entities and answers.
"""

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ft_toolkit.core.counted_notes import CountedNote

Form = Literal["JSON", "Python", "numpy"]

# Limits for text that is not JSON. Longer or deeper values are not printed by any data set that we know.
MAX_LENGTH, MAX_DEPTH = 1_000_000, 20
_BRACKETS = {"[": "]", "{": "}", "(": ")"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    |(?P<name>-?[A-Za-z_][A-Za-z0-9_.]*)
    |(?P<sign>[][(){},:=]))""",
    re.DOTALL | re.VERBOSE,
)
_CONSTANTS = {
    **{"None": None, "null": None, "True": True, "true": True, "False": False, "false": False},
    **{"nan": math.nan, "NaN": math.nan, "inf": math.inf, "-inf": -math.inf},
}
_SCALAR_TYPES = re.compile("(?:np|numpy)[.](?:str_|bool_?|float[0-9]+|u?int[0-9]+)")
_ARRAY = re.compile("(?:(?:np|numpy)[.])?array")


@dataclass(frozen=True)
class Printed:
    """A list or a dict that a cell holds, and the form in which it is written."""

    value: list[Any] | dict[Any, Any]
    form: Form


def read_printed(text: str) -> Printed | None:
    """Return the list or dict that a cell holds; None for other text.

    Tuples and sets are lists. A list that is cut ("[1 0 ... 0]"), that has words without quotes, or that is longer or deeper
    than the limits is other text; `looks_printed` tells it from a sentence.
    """
    text = text.strip()
    if not looks_printed(text):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: not JSON, or an integer of thousands of digits
        return _Parser(text).read() if len(text) <= MAX_LENGTH else None
    return Printed(value, "JSON")


def texts_of(value: Any, printed: list[Printed]) -> Any:
    """Return the dict or the list of texts that a cell prints, and append it to `printed`; another value unchanged."""
    cell = read_printed(value) if isinstance(value, str) else None
    if cell is None or not cell.value:
        return value
    texts = cell.value.values() if isinstance(cell.value, dict) else cell.value
    if not all(isinstance(text, str) for text in texts):
        return value
    printed.append(cell)
    return cell.value


def looks_printed(text: str) -> bool:
    """Return whether a text begins and ends like a list or an object, readable or not."""
    text = text.strip()
    if not text:
        return False
    return _BRACKETS.get(text[0]) == text[-1] or (text[-1] == ")" and _ARRAY.match(text) is not None)


def form_notes(column: str, printed: Iterable[Printed]) -> list[str]:
    """Return a note with the forms in which the cells of a column are written; none without such cells."""

    def write(counts: Mapping[str, int], n_rows: int) -> str:
        forms = " and ".join(f"{form} ({n:,})" for form, n in sorted(counts.items()))
        return f"column '{column}': cells with lists or objects were read as {forms}"

    counts = Counter[str](each.form for each in printed)
    return [CountedNote(f"forms of {column}", counts, write, 0)] if counts else []


class _UnreadableError(Exception):
    """The text is not a printed value."""


class _Parser:
    """Reads a value as Python or numpy prints it. Nothing in it is executed."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0
        self._has_numpy = False

    def read(self) -> Printed | None:
        """Return the value; None if the text is not such a value."""
        try:
            value = self._value(0)
            if self._position < len(self._tokens) or not isinstance(value, (list, dict)):
                return None
        except _UnreadableError:
            return None
        return Printed(value, "numpy" if self._has_numpy else "Python")

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _UnreadableError
        kind, token, _ = self._next()
        if kind == "text":
            return _literal(token)
        if kind == "number":
            return _number(token)
        if kind == "name":
            return self._call(token, depth) if self._peek() == "(" else _constant(token)
        if token in ("[", "("):
            return self._items(_BRACKETS[token], depth)
        if token == "{":
            return self._dict_or_set(depth)
        raise _UnreadableError

    def _items(self, end: str, depth: int) -> list[Any]:
        """Return the items up to `end`, separated by commas, or in a list by white space as numpy prints them."""
        items: list[Any] = []
        separators: set[str] = set()
        while self._peek() != end:
            if items and self._peek() == ",":
                separators.add(",")
                self._next()
                if self._peek() == end:
                    break
            elif items:
                if end != "]" or not self._tokens[self._position][2]:
                    raise _UnreadableError
                separators.add(" ")
                self._has_numpy = True
            items.append(self._value(depth + 1))
        self._next()
        if len(separators) > 1 or (end == ")" and len(items) == 1 and not separators):
            raise _UnreadableError
        return items

    def _dict_or_set(self, depth: int) -> Any:
        if self._peek() == "}":
            self._next()
            return {}
        first = self._value(depth + 1)
        if self._peek() != ":":
            if self._peek() == ",":
                self._next()
            return [first, *self._items("}", depth)]
        values: dict[Any, Any] = {}
        while True:
            self._expect(":")
            if isinstance(first, (list, dict)):
                raise _UnreadableError
            values[first] = self._value(depth + 1)
            if self._peek() == ",":
                self._next()
            elif self._peek() != "}":
                raise _UnreadableError
            if self._peek() == "}":
                self._next()
                return values
            first = self._value(depth + 1)

    def _call(self, name: str, depth: int) -> Any:
        """Return the value of array(...) or of a numpy scalar such as np.int64(3)."""
        self._expect("(")
        is_array = _ARRAY.fullmatch(name) is not None
        if not is_array and not _SCALAR_TYPES.fullmatch(name):
            raise _UnreadableError
        self._has_numpy = True
        value = self._value(depth + 1)
        if is_array != isinstance(value, list):
            raise _UnreadableError
        while self._peek() == ",":  # dtype=object
            self._next()
            if self._next()[0] != "name":
                raise _UnreadableError
            self._expect("=")
            if self._next()[0] not in ("name", "text"):
                raise _UnreadableError
        self._expect(")")
        return value

    def _peek(self) -> str:
        """Return the next token if it is a sign, otherwise an empty string. Raises _UnreadableError at the end."""
        if self._position >= len(self._tokens):
            raise _UnreadableError
        kind, token, _ = self._tokens[self._position]
        return token if kind == "sign" else ""

    def _next(self) -> tuple[str, str, bool]:
        if self._position >= len(self._tokens):
            raise _UnreadableError
        self._position += 1
        return self._tokens[self._position - 1]

    def _expect(self, sign: str) -> None:
        if self._next()[:2] != ("sign", sign):
            raise _UnreadableError


def _tokens(text: str) -> list[tuple[str, str, bool]]:
    """Return (kind, token, whether white space precedes it); a last token "" of kind "bad" where the text has another sign."""
    tokens: list[tuple[str, str, bool]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return [*tokens, ("bad", "", False)]
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind], match.start(kind) > position))
        position = match.end()
    return tokens


def _literal(token: str) -> str:
    try:
        return str(ast.literal_eval(token.replace("\n", "\\n")))
    except (SyntaxError, ValueError):  # such as '\xZZ'
        raise _UnreadableError from None


def _number(token: str) -> int | float:
    try:
        return int(token) if re.fullmatch("[-+]?[0-9]+", token) else float(token)
    except ValueError:  # an integer of thousands of digits
        raise _UnreadableError from None


def _constant(name: str) -> Any:
    name = re.sub("^(?:np|numpy)[.](True|False)_$", r"\1", name)
    if name not in _CONSTANTS:
        raise _UnreadableError
    return _CONSTANTS[name]
