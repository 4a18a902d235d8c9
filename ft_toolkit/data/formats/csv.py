"""Comma-separated and tab-separated values, with a header line.

A tsv file has no quoting (IANA text/tab-separated-values): a quotation mark is an ordinary character.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per record; every value is a str. Raises DataError."""
    return list(_records(path, is_tsv=path.suffix.lower() == ".tsv"))


def _records(path: Path, *, is_tsv: bool) -> Iterator[dict[str, Any]]:
    delimiter, quoting = ("\t", csv.QUOTE_NONE) if is_tsv else (",", csv.QUOTE_MINIMAL)
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        try:
            header = next(reader, None)
            if not header:
                raise DataError(f"{path}: the file is empty; the first line must hold the column names")
            if len(set(header)) < len(header):
                raise DataError(f"{path}:1: duplicate column name in the header: {one_of(header)}")
            start = reader.line_num + 1  # a quoted field may span lines: report the line where the record starts
            for fields in reader:
                if fields and len(fields) != len(header):
                    remedy = "a field must not contain a tab" if is_tsv else "put fields that contain a comma in quotes"
                    raise DataError(
                        f"{path}:{start}: {len(fields)} fields, but the header has {len(header)} ({one_of(header)}); {remedy}"
                    )
                if fields:
                    yield dict(zip(header, fields, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}") from None


FORMAT = Format(name="csv", suffixes=(".csv", ".tsv"), read=read)
