"""Plain text: one text per line; blank lines are skipped."""

import re
from collections.abc import Iterable, Iterator

from ft_toolkit.data.formats.base import Change, Format, RawRows, Source, rewrite_lines

_LONE_RETURN = re.compile("\r(?!\n)")


def read(source: Source) -> RawRows:
    """Return one row per line, with the line as the column `text`."""
    lines = [line for line in source.lines if line.strip()]
    if "\n" in source.text and (n_returns := len(_LONE_RETURN.findall(source.text))):
        source.notes.append(f"{n_returns} lines end with a carriage return alone, other lines with a line feed")
    n_tabs = {line.count("\t") for line in lines}
    if len(lines) > 1 and len(n_tabs) == 1 and n_tabs != {0}:
        source.notes.append(
            "every line is read as one text, but all lines have the same number of tabs. If these separate columns, rename the "
            "file to .tsv, or set data.reading.format=csv"
        )
    return [{"text": line} for line in lines]


def rewrite(source: Source, change: Change) -> str:
    """Return the text with changed lines."""
    return rewrite_lines(source, lambda line, where: change(line, where) if line.strip() else line)


def stream(source: Source, lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield one row per line of a long file; see `read`."""
    return ({"text": text} for line in lines if (text := line.rstrip("\r\n")).strip())


FORMAT = Format(name="txt", suffixes=(".txt",), stream=stream, read=read, rewrite=rewrite)
