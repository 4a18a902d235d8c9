"""Plain text: one text per line; blank lines are skipped."""

from pathlib import Path

from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per line, with the line as the column `text`."""
    with path.open(encoding="utf-8-sig") as file:
        return [{"text": line.removesuffix("\n")} for line in file if line.strip()]


FORMAT = Format(name="txt", suffixes=(".txt",), read=read)
