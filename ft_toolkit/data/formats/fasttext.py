"""The training files of fastText: `__label__x __label__y text`, one text per line."""

import re

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows, Source

_LABELS = re.compile(r"((?:__label__\S+[ \t,]*)+)(.*)", re.DOTALL)


def read(source: Source) -> RawRows:
    """Return one row per line: `text` and `label`, a list in all rows if any line has several labels. Raises DataError."""
    rows: RawRows = []
    for number, line in enumerate(source.lines, 1):
        if not line.strip():
            continue
        match = _LABELS.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{source.name}:{number}: the line must begin with '__label__NAME', followed by the text")
        labels = [label.removeprefix("__label__") for label in re.split(r"[ \t,]+", match[1].strip(" \t,"))]
        rows.append({"text": match[2].strip(), "label": labels})
    if all(len(row["label"]) == 1 for row in rows):
        return [{"text": row["text"], "label": row["label"][0]} for row in rows]
    return rows


def fits(source: Source) -> bool:
    """Return whether every line begins with a label of fastText."""
    lines = [line for line in source.lines if line.strip()]
    return bool(lines) and all(line.lstrip().startswith("__label__") for line in lines)


FORMAT = Format(name="fasttext", suffixes=(".ft", ".fasttext"), read=read, fits=fits, order=10)
