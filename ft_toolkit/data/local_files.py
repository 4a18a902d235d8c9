"""Read data files. The file name suffix selects the format (see `data/formats/`); errors name the file and the line."""

import difflib
from pathlib import Path

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.formats import find_formats
from ft_toolkit.data.formats.base import RawRows


def is_file_name(source: str) -> bool:
    """Return whether `source` means a data file rather than the name of a data card."""
    return Path(source).is_file() or Path(source).suffix.lower() in find_formats()


def check_file(path: Path) -> None:
    """Raise DataError when a file does not exist or its suffix belongs to no format."""
    formats = find_formats()
    if path.suffix.lower() not in formats:
        raise DataError(f"{path}: unknown file type '{path.suffix}'; allowed: {one_of(formats)}")
    if not path.is_file():
        siblings = [sibling.name for sibling in path.parent.glob("*")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f" Did you mean '{path.with_name(near[0])}'?" if near else ""
        raise DataError(f"{path}: file not found (looked in {path.parent.resolve()}).{hint}")


def read_file(path: Path) -> RawRows:
    """Return the rows of a data file as dicts; at least one row. Raises DataError.

    Text files must be UTF-8, with or without a byte order mark.
    """
    check_file(path)
    try:
        rows = find_formats()[path.suffix.lower()].read(path)
    except UnicodeDecodeError:
        raise DataError(f"{path}:{_first_invalid_line(path)}: not valid UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the file: {error.strerror or error}") from None
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    return rows


def _first_invalid_line(path: Path) -> int:
    """Return the number of the first line that is not UTF-8; UnicodeDecodeError only has a position in the read buffer."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
