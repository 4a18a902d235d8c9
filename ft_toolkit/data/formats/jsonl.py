"""JSON lines: one JSON object per line; blank lines are skipped."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Change, Format, Source, check_characters, rewrite_lines


def read(source: Source) -> list[Any]:
    """Return the value of each line: an object, or a pair of a text and its annotations (spaCy). Raises DataError."""
    return list(_values(source, source.lines))


def stream(source: Source, lines: Iterable[str]) -> Iterator[Any]:
    """Yield the value of each line of a long file; see `read`. Raises DataError."""
    return _values(source, lines)


def _values(source: Source, lines: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            hint = (
                "; it looks like a printed Python dict; write the lines with json.dumps"
                if line.lstrip().startswith("{'")
                else ""
            )
            raise DataError(f"{source.name}:{number}: not valid JSON: {error.msg}{hint}") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of nested lists
            raise DataError(f"{source.name}:{number}: not valid JSON: {error}") from None
        if not is_record(value):
            raise DataError(
                f"{source.name}:{number}: found {type(value).__name__}; every line must hold one JSON object"
            )
        check_characters(value, line, f"{source.name}:{number}")
        yield value


def is_record(value: Any) -> bool:
    """Return whether a JSON value can be a row: an object, or a text with its annotations."""
    return isinstance(value, dict) or (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)
    )


def fits(source: Source) -> bool:
    """Return whether the first two lines hold one record each; a single line in a .json file is a document."""
    first = [line for line in source.head[:100] if line.strip()][:2]
    if len(first) < (2 if source.suffix == ".json" else 1) or not all(line.lstrip()[0] in "{[" for line in first):
        return False
    try:
        values = [json.loads(line) for line in first]
        return all(value and is_record(value) for value in values)
    except (ValueError, RecursionError):
        return False


def rewrite(source: Source, change: Change) -> str:
    """Return the text with changed lines; the other lines stay as they are."""

    def change_line(line: str, where: str) -> str:
        if not line.strip():
            return line
        value = json.loads(line)
        changed = change(value, where)
        return line if changed == value else json.dumps(changed, ensure_ascii=line.isascii())

    return rewrite_lines(source, change_line)


FORMAT = Format(
    name="jsonl", suffixes=(".jsonl", ".ndjson"), stream=stream, read=read, rewrite=rewrite, fits=fits, order=20
)
