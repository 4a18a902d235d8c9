"""Comma-separated and tab-separated values, with a header line, and their variants: `;` and `|`, and Excel's `sep=` line.

A tsv file has no quoting (IANA text/tab-separated-values), so a quotation mark is an ordinary character, unless the file
shows that a program such as pandas or Excel has quoted its fields.
"""

import csv
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.formats.base import Change, Format, RawRows, Source, named_columns

DELIMITER_TITLES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SEPARATOR_LINE = re.compile("sep=(.)\r?\n?", re.IGNORECASE)
_LINE = re.compile("[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
# Records that determine the delimiter; enough for texts of any kind, and fast for large files.
_SAMPLE = 200
_TAB_SUFFIXES = (".tsv", ".tab")
NO_HEADER = "if the file has no header line, set data.reading.column_names=[NAME, ...]"


def read(source: Source) -> RawRows:
    """Return one row per record; every value is a str. Raises DataError."""
    text, dialect = _dialect(source)
    n_skipped = source.text.count("\n", 0, len(source.text) - len(text))  # the `sep=` line
    return list(_records(source, io.StringIO(text, newline=""), dialect, n_skipped))


def stream(source: Source, lines: Iterable[str]) -> Iterator[dict[str, str]] | None:
    """Yield one row per record of a long file; see `read`. Raises DataError.

    None if the dialect depends on more than the beginning of the file: a tsv file with quotation marks, or escaped ones.
    """
    text, delimiter = _delimiter(source)
    has_marks = source.reading.quotes is None and delimiter == "\t" and '"' in text
    if has_marks or '\\"' in text or text is not source.text:
        return None
    quotes = source.reading.quotes
    if quotes is None and delimiter == "\t":
        return _records(source, _without_marks(source, lines), _Dialect(delimiter, quotes=False), 0)
    return _records(source, lines, _Dialect(delimiter, quotes=quotes is not False), 0)


def _without_marks(source: Source, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a long tsv file. Raises DataError for a quotation mark, which may have two meanings."""
    for number, line in enumerate(lines, 1):
        if '"' in line:
            raise DataError(
                f"{source.name}:{number}: a quotation mark in a tsv file may be text, or enclose a field; set "
                "data.reading.quotes=false or true (ftk predict: --reading quotes=false)"
            )
        yield line


def rewrite(source: Source, change: Change) -> str:
    """Return the text with changed records; the other records stay as they are."""
    text, dialect = _dialect(source)
    header: list[str] | None = source.reading.column_names
    parts = [source.text[: len(source.text) - len(text)]]  # the `sep=` line
    consumed: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            consumed.append(line)
            yield line

    for number, fields in enumerate(dialect.reader(lines()), 1):
        original = "".join(consumed)
        consumed.clear()
        if not fields or header is None:
            header = header or (named_columns(fields, source) if fields else None)
        elif len(fields) == len(header):
            values = dict(zip(header, fields, strict=True))
            changed = change(values, f"{source.name}: record {number}")
            if changed != values:
                original = dialect.line(changed.values(), original)
        parts.append(original)
    return "".join(parts)


def _dialect(source: Source) -> tuple[str, "_Dialect"]:
    """Return the text without a `sep=` line, and how its fields are separated and quoted."""
    text, delimiter = _delimiter(source)
    source.delimiter = delimiter
    dialect = _Dialect(delimiter, quotes=_quotes(source, text, delimiter))
    escaped = _Dialect(delimiter, escape="\\")
    if (
        '\\"' in text
        and dialect.quotes
        and _records_of(text, dialect) is None
        and _is_table(_records_of(text, escaped))
    ):
        source.notes.append('quotation marks in fields are written with a backslash (\\"), as by Spark or MySQL')
        dialect = escaped
    return text, dialect


def fits(source: Source) -> bool:
    """Return whether a file of unknown type has two or more columns, in the same number in each of its records."""
    text = source.text
    return any((_widths(text, delimiter) or [0])[0] > 1 for delimiter in DELIMITER_TITLES) and text.count("\n") > 1


@dataclass(frozen=True)
class _Dialect:
    """The character between fields, whether quotation marks around a field are removed, and the escape of inner ones."""

    delimiter: str
    quotes: bool = True
    escape: str | None = None

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a csv.reader of lines with their line ends, which raises csv.Error."""
        csv.field_size_limit(sys.maxsize)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=True,
        )

    def line(self, fields: Iterable[str], original: str) -> str:
        """Return a record as text, with the line end of the original record."""
        end = original[len(original.rstrip("\r\n")) :]
        if not self.quotes:
            return self.delimiter.join(fields) + end
        output = io.StringIO(newline="")
        csv.writer(
            output,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_ALL
            if original.startswith('"') and original.rstrip("\r\n").endswith('"')
            else csv.QUOTE_MINIMAL,
            escapechar=self.escape,
            doublequote=self.escape is None,
            lineterminator="",
        ).writerow(fields)
        return output.getvalue() + end


def _records_of(text: str, dialect: _Dialect) -> list[list[str]] | None:
    """Return the fields of each record, None if the text cannot be read in this dialect."""
    try:
        return [fields for fields in dialect.reader(io.StringIO(text, newline="")) if fields]
    except csv.Error:
        return None


def _is_table(records: list[list[str]] | None) -> bool:
    """Return whether all records have the same number of fields."""
    return records is not None and len({len(fields) for fields in records}) == 1


def _delimiter(source: Source) -> tuple[str, str]:
    """Return the text without a `sep=` line, and the character between columns. Notes a surprising character."""
    text = source.text
    usual = "\t" if source.suffix in _TAB_SUFFIXES else ","
    line = _SEPARATOR_LINE.match(text)
    if line:
        text = text[line.end() :]
    if source.reading.delimiter is not None:
        return text, source.reading.delimiter
    chosen = line[1] if line else _guess(text, usual)
    if chosen != usual:
        source.notes.append(f"columns are separated by {DELIMITER_TITLES.get(chosen, repr(chosen))}")
    return text, chosen


def _guess(text: str, usual: str) -> str:
    """Return the delimiter that gives all records of the sample the same number of columns, two or more; else `usual`."""
    fitting = [delimiter for delimiter in (usual, *DELIMITER_TITLES) if (_widths(text, delimiter) or [0])[0] > 1]
    return fitting[0] if fitting else usual


def _widths(text: str, delimiter: str) -> list[int] | None:
    """Return the number of columns of the first records, in a list, if it is the same in all of them; None otherwise."""
    for quotes in (True, False) if delimiter == "\t" else (True,):
        try:
            lines = (match[0] for match in _LINE.finditer(text))
            reader = _Dialect(delimiter, quotes).reader(lines)
            widths = {len(fields) for fields in itertools.islice(reader, _SAMPLE) if fields}
        except csv.Error:
            continue
        if len(widths) == 1:
            return list(widths)
    return None


def _quotes(source: Source, text: str, delimiter: str) -> bool:
    """Return whether quotation marks around a field belong to the format and not to the text."""
    if source.reading.quotes is not None:
        return source.reading.quotes
    if delimiter != "\t" or '"' not in text:
        return delimiter != "\t"
    quoted, literal = (_records_of(text, _Dialect(delimiter, quotes)) for quotes in (True, False))
    if not _is_table(quoted) or not literal or quoted == literal:
        return False
    is_uneven = not _is_table(literal)  # a quoted field holds a tab or a line break
    with_marks = [field for fields in literal for field in fields if '"' in field]
    are_quoted = all(re.fullmatch(r'"(?:[^"]|"")*"', field) for field in with_marks)
    has_doubled = any('""' in field[1:-1] for field in with_marks)
    is_header_quoted = all(re.fullmatch('".*"', field) for field in literal[0])
    if is_uneven or is_header_quoted or (are_quoted and has_doubled):
        source.notes.append(
            "quotation marks around fields are removed (fields are quoted as by pandas or Excel); data.reading.quotes=false "
            "keeps them"
        )
        return True
    n_marked = sum(bool(re.fullmatch('".+"', field)) for field in with_marks)
    if n_marked:
        source.notes.append(
            f"{n_marked} field{'s' if n_marked > 1 else ''} between quotation marks, which are kept as part of the text; "
            "data.reading.quotes=true removes them"
        )
    return False


def _records(source: Source, lines: Iterable[str], dialect: _Dialect, n_skipped: int) -> Iterator[dict[str, str]]:
    """Yield the rows of lines with their line ends, of which `n_skipped` were removed before."""
    name, reader = source.name, dialect.reader(lines)
    n_repeated = 0
    try:
        first = source.reading.column_names or next((fields for fields in reader if fields), None)
        if not first:
            raise DataError(f"{name}: the file is empty; the first line must hold the column names")
        header = named_columns(first, source)
        if len(set(header)) < len(header):
            raise DataError(f"{name}:1: duplicate column name in the header: {one_of(header)}; {NO_HEADER}")
        start = reader.line_num + 1  # a quoted field may span lines: report the line where the record starts
        for fields in reader:
            if fields and len(fields) != len(header):
                raise DataError(_wrong_width(f"{name}:{start + n_skipped}", fields, header, dialect))
            # a byte order mark is left in the middle where files were joined
            if fields and fields[0].removeprefix("\ufeff") == first[0] and fields[1:] == first[1:]:
                n_repeated += 1
            elif fields:
                yield dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num + n_skipped}: {error}") from None
    if n_repeated:
        source.notes.append(f"{n_repeated} repeated header line{'s were' if n_repeated > 1 else ' was'} left out")


def _wrong_width(where: str, fields: list[str], header: list[str], dialect: _Dialect) -> str:
    title = {",": "a comma", "\t": "a tab", ";": "a semicolon"}.get(dialect.delimiter, repr(dialect.delimiter))
    remedy = f"put fields that contain {title} in quotes" if dialect.quotes else f"a field must not contain {title}"
    if len(header) == 1:
        remedy += ". For a file with one column, set data.reading.delimiter=tab"
    elif len(fields) == len(header) + 1:
        remedy += ", or, if the first field of each line is a row name, as R writes it, add a name for it to the header"
    return f"{where}: {len(fields)} fields, but the header has {len(header)} ({one_of(header)}); {remedy}"


FORMAT = Format(
    name="csv",
    suffixes=(".csv", *_TAB_SUFFIXES, ".psv"),
    read=read,
    stream=stream,
    rewrite=rewrite,
    fits=fits,
    is_guess=True,
    order=60,
)
