"""File formats, found by walking this folder: each module ends with `FORMAT = Format(...)`.

To add a format, add one module here and its test. There is no list to edit.
"""

import importlib
from pathlib import Path

from ft_toolkit.data.formats.base import Format


def find_formats() -> dict[str, Format]:
    """Return the format of every file name suffix (such as ".csv"), in alphabetical order of the modules."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "base"))
    formats: list[Format] = [importlib.import_module(f"{__name__}.{name}").FORMAT for name in names]
    return {suffix: file_format for file_format in formats for suffix in file_format.suffixes}
