"""Values of data files that JSON cannot hold, such as dates: run folders store the columns of a row as JSON."""

import datetime
import decimal
import math
import uuid
from collections.abc import Mapping
from typing import Any

from ft_toolkit.core.errors import DataError

# Deeper values would raise a RecursionError when they are written, after training.
MAX_DEPTH = 100
# Python converts only whole numbers of up to 4,300 digits to text.
MAX_BITS = 14_000
_PLAIN = {str, int, float, bool, type(None)}


def is_stored(value: Any, *, is_kept: bool) -> bool:
    """Return whether `json_value` returns the value unchanged: a quick check for the values that nearly all files have."""
    kind = type(value)
    if kind is int:
        return bool(value.bit_length() <= MAX_BITS)
    if kind is float:
        return not is_kept or math.isfinite(value)
    return kind in _PLAIN or (kind is list and all(type(item) is str for item in value))


def json_value(value: Any, where: str, *, is_kept: bool, depth: int = 0) -> Any:
    """Return a value that JSON can hold: dates, times, decimals and UUIDs as text, and bytes that are UTF-8 as text.

    `is_kept` is for columns that the model does not see: other values become text too, and NaN becomes None. In a column of the
    task they stay as they are, because the task refuses them or reads them as missing. Raises DataError for a value that is
    nested too deeply, and for a number that is too long; `where` names its location, `depth` counts the lists around it.
    """
    if (problem := check_size(value, where, depth)) is not None:
        raise DataError(problem)
    match value:
        case float() if is_kept and not math.isfinite(value):
            return None if math.isnan(value) else str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal() | uuid.UUID() | datetime.timedelta():
            return str(value)
        case bytes():
            return _decoded(value, is_kept)
        case list() | tuple():
            return [json_value(item, where, is_kept=is_kept, depth=depth + 1) for item in value]
        case Mapping():
            return {str(key): json_value(item, where, is_kept=is_kept, depth=depth + 1) for key, item in value.items()}
    return str(value) if is_kept and not isinstance(value, tuple(_PLAIN)) else value


def check_size(value: Any, where: str, depth: int) -> str | None:
    """Return the reason if a value cannot be stored: too many nested levels, or a number with too many digits; else None."""
    if depth > MAX_DEPTH:
        return f"{where}: a value is nested more than {MAX_DEPTH} levels deep; drop the column, or flatten its values"
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"{where}: a whole number has more than 4,000 digits; write it as text"
    return None


def _decoded(value: bytes, is_kept: bool) -> Any:
    """Return bytes as text: UTF-8 or, in a kept column, hexadecimal digits."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex() if is_kept else value
