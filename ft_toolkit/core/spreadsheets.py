"""Cells of csv files that a spreadsheet program opens."""

import re
from typing import Any

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?%?")


def no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: a text that begins as one gets a "'" before it.

    The text of a stranger could otherwise send the other cells to a server (=HYPERLINK, =WEBSERVICE). Numbers stay.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value
