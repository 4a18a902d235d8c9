"""A JSON document. A layout in `data/layouts/` finds its rows."""

import json
import re
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Change, Format, Source, check_characters

_GAP = re.compile(r"\s*")


def read(source: Source) -> Any:
    """Return the document, or the list of its values where several follow each other. Raises DataError."""
    if not source.text.strip():
        return []
    try:
        document = json.loads(source.text)
    except json.JSONDecodeError as error:
        values = _values(source.text)
        if values is None:
            raise DataError(f"{source.name}:{error.lineno}: not valid JSON: {error.msg}") from None
        source.notes.append(f"the file holds {len(values)} JSON values, one after the other; each is a row")
        document = values
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of nested lists
        raise DataError(f"{source.name}: not valid JSON: {error}") from None
    check_characters(document, source.text, source.name)
    return document


def _values(text: str) -> list[Any] | None:
    """Return the JSON objects of a text without a list around them, such as indented JSON lines; None for any other text."""
    decoder, values, position = json.JSONDecoder(), [], 0
    text = text.strip()
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        values.append(value)
        gap = _GAP.match(text, position)
        assert gap is not None, "the pattern matches everywhere"
        position = gap.end()
    return values


def fits(source: Source) -> bool:
    """Return whether the text is a JSON list or object, or several objects."""
    text = source.text.strip()
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")):
        return False
    if source.suffix in FORMAT.suffixes:
        return True  # its errors are reported by `read`
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return text.startswith("{") and _values(text) is not None
    except (ValueError, RecursionError):
        return False
    # a text may be "[1]" or "[]"
    return bool(document) and (isinstance(document, dict) or all(isinstance(item, (dict, list)) for item in document))


def rewrite(source: Source, change: Change) -> str:
    """Return the text with a changed document, indented if the old one has several lines."""
    document = read(source)
    changed = change(document, source.name)
    if changed == document:
        return source.text
    text, is_ascii, indent = source.text.strip(), source.text.isascii(), 2 if "\n" in source.text.strip() else None
    if text.startswith("{") and isinstance(document, list):  # several values, one after the other
        return "\n".join(json.dumps(value, ensure_ascii=is_ascii, indent=indent) for value in changed) + "\n"
    return json.dumps(changed, ensure_ascii=is_ascii, indent=indent) + "\n"


FORMAT = Format(name="json", suffixes=(".json",), read=read, rewrite=rewrite, fits=fits, order=30)
