"""A JSON document. `data/layouts/` says which rows it holds."""

import json
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, Source, check_characters


def read(source: Source) -> Any:
    """Return the document. Raises DataError."""
    try:
        document = json.loads(source.text)
    except json.JSONDecodeError as error:
        raise DataError(f"{source.name}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of nested lists
        raise DataError(f"{source.name}: not valid JSON: {error}") from None
    check_characters(document, source.text, source.name)
    return document


def fits(source: Source) -> bool:
    """Return whether the text is a JSON list or object."""
    text = source.text.strip()
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")):
        return False
    if source.suffix in FORMAT.suffixes:
        return True  # its errors are reported by `read`
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


FORMAT = Format(name="json", suffixes=(".json",), read=read, fits=fits, order=30)
