"""JSON lines: one JSON object per line; blank lines are skipped."""

import json
from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per line. Raises DataError."""
    rows: RawRows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not valid JSON: {error.msg}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: found {type(row).__name__}; every line must hold one JSON object")
            rows.append(row)
    return rows


FORMAT = Format(name="jsonl", suffixes=(".jsonl",), read=read)
