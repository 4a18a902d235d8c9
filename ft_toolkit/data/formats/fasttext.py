"""The training files of fastText: `__label__x __label__y text`, one text per line."""

import re
from collections.abc import Sequence

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Change, Format, RawRows, Source, rewrite_lines

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
    return _all_labelled(source.head) and _all_labelled(source.lines)


def _all_labelled(lines: Sequence[str]) -> bool:
    filled = [line for line in lines if line.strip()]
    return bool(filled) and all(line.lstrip().startswith("__label__") for line in filled)


def rewrite(source: Source, change: Change) -> str:
    """Return the text with changed lines; the labels stay."""

    def change_line(line: str, where: str) -> str:
        match = _LABELS.match(line.lstrip())
        if match is None:
            return line
        text = match[2]
        return line[: len(line) - len(text)] + str(change(text, where))

    return rewrite_lines(source, change_line)


FORMAT = Format(name="fasttext", suffixes=(".ft", ".fasttext"), read=read, rewrite=rewrite, fits=fits, order=10)
