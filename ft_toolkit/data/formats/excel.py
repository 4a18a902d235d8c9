"""Excel workbooks (.xlsx), read with openpyxl (extra `formats`): the first row of a sheet holds the column names."""

import datetime
import io
import zipfile
import zlib
from typing import Any
from xml.etree.ElementTree import ParseError

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.formats.base import Format, RawRows, Source, named_columns

# The errors that openpyxl raises for damaged files.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, TypeError, IndexError, AttributeError, OSError, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


def read(source: Source) -> RawRows:
    """Return one row per row of the sheet that is not empty; a date is ISO 8601 text. Raises DataError.

    The sheet is the first one, unless the setting `sheet` names another.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise DataError(
            f"{source.name}: reading Excel files needs the package openpyxl: pip install 'ft-toolkit[formats]'"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(source.data), read_only=True, data_only=True)
        cells = _cells(book, source)
    except (InvalidFileException, *_DAMAGE) as error:
        problem = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{source.name}: not a readable Excel file ({problem}). Save or download it again") from None
    return _rows([row for row in cells if any(value is not None for value in row)], source)


def _cells(book: Any, source: Source) -> list[list[Any]]:
    """Return the values of the chosen sheet. Raises DataError, and an error of `_DAMAGE` for a damaged file."""
    names = book.sheetnames
    if not names:
        raise DataError(f"{source.name}: the workbook has no sheet with cells; save the rows in a sheet")
    name = source.reading.sheet or names[0]
    if name not in names:
        raise DataError(f"{source.name}: no sheet '{name}'; it has {one_of(names)}.{did_you_mean(name, names)}")
    if len(names) > 1 and source.reading.sheet is None:
        source.notes.append(
            f"the sheet '{name}' is read, not {one_of(names[1:])}; data.reading.sheet=NAME chooses another"
        )
    cells = [list(row) for row in book[name].iter_rows(values_only=True)]
    book.close()
    return cells


def _rows(cells: list[list[Any]], source: Source) -> RawRows:
    if not cells:
        return []
    width = max(len(row) - next((i for i, value in enumerate(reversed(row)) if value is not None), 0) for row in cells)
    names = source.reading.column_names
    header = names or named_columns([str(value) if value is not None else "" for value in cells[0][:width]], source)
    if len(set(header)) < len(header):
        raise DataError(
            f"{source.name}:1: duplicate column names: {one_of(header)}; rename them, or if the sheet has no header, "
            "set data.reading.column_names=[NAME, ...]"
        )
    if width > len(header):
        raise DataError(
            f"{source.name}: a row has {width} cells, but there are {len(header)} column names; name all columns"
        )
    rows = cells if names else cells[1:]
    return [dict(zip(header, [*map(_plain, row), *[None] * len(header)], strict=False)) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value) if isinstance(value, datetime.timedelta) else value


def fits(source: Source) -> bool:
    """Return whether the file is a zip file with a workbook."""
    return source.data.startswith(b"PK\x03\x04") and b"xl/workbook.xml" in source.data


FORMAT = Format(name="excel", suffixes=(".xlsx", ".xlsm"), read=read, fits=fits, order=1, is_text=False)
