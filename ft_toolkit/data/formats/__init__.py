"""File formats, found by walking this folder: each module ends with `FORMAT = Format(...)` or `FolderFormat(...)`.

To add a format, add one module here and its test. There is no list to edit. The layouts in `data/layouts/` interpret the
records of a file, such as an export of an annotation tool.
"""

import importlib
from functools import cache
from pathlib import Path

from ft_toolkit.data.formats.base import FolderFormat, Format


@cache
def _all_formats() -> tuple[Format | FolderFormat, ...]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "base"))
    return tuple(importlib.import_module(f"{__name__}.{name}").FORMAT for name in names)


def file_formats() -> list[Format]:
    """Return the formats of files, in the order in which their content tests are tried."""
    return sorted((item for item in _all_formats() if isinstance(item, Format)), key=lambda item: item.order)


def folder_formats() -> list[FolderFormat]:
    """Return the formats of folders, in alphabetical order of the modules."""
    return [item for item in _all_formats() if isinstance(item, FolderFormat)]


def find_formats() -> dict[str, Format]:
    """Return the format of every file name suffix (such as ".csv"), in alphabetical order of the modules."""
    formats = [item for item in _all_formats() if isinstance(item, Format)]
    return {suffix: file_format for file_format in formats for suffix in file_format.suffixes}
