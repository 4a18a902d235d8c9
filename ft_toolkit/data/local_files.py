"""Read data files and folders: compression, encoding, format and layout are found from the content, then from the name.

    path --unpack--> bytes --choose_format--> Format --read--> plain values --read_layout--> rows

The formats are in `data/formats/`, the layouts in `data/layouts/`. Errors name the file and the line.
"""

import difflib
import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.formats import file_formats, find_formats, folder_formats
from ft_toolkit.data.formats.base import Aliases, FolderFormat, FolderSource, Format, RawRows, Source
from ft_toolkit.data.layouts import read_layout
from ft_toolkit.data.unpacking import SUFFIXES, open_unpacked, split_member
from ft_toolkit.recipe.reading import Reading

# The bytes that a check of a file before the run looks at.
_CHECKED_BYTES = 4_000_000
# The first bytes of files that people give by mistake, and what they are.
_FOREIGN_FILES = {
    b"%PDF": "a PDF document; extract its text first",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save it as .xlsx or .csv",
    b"{\\rtf": "an RTF document; save it as plain text",
    b"SQLite format 3": "an SQLite database; export the table as .csv",
    b"PK\x03\x04": "an Office document or a zip archive; save a table as .xlsx or .csv, name an archive .zip",
    b"\x80\x04": "a pickle, which is not safe to load; save the rows as .jsonl or .parquet",
    b"\x80\x05": "a pickle, which is not safe to load; save the rows as .jsonl or .parquet",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; run 'git lfs pull'",
    b"<!DOCTYPE html": "a web page, perhaps of a failed download; download the file again",
    b"<table": "a web page; save the table as .xlsx or .csv",
    b"<html": "a web page, perhaps of a failed download; download the file again",
}


@dataclass(frozen=True)
class FileRows:
    """The rows of a file or folder, and how they were read.

    `format` is the name of the format, `encoding` of the text encoding and `compression` of the compression, where there is
    one; `delimiter` separates the columns of a csv file. `aliases` maps columns of tasks to the columns of the file that hold
    them under another name; the rows have both. `notes` say what was chosen where the content does not follow the name of the
    file, or allows more than one reading. `class_names` are the names of class labels that the file stores, by column.
    """

    rows: RawRows
    format: str
    encoding: str | None = None
    compression: str | None = None
    delimiter: str | None = None
    aliases: Aliases = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class HasNotes(Protocol):
    """The rows of a file, with notes on how they were read."""

    @property
    def notes(self) -> list[str]:
        """The notes."""


def is_file_name(source: str) -> bool:
    """Return whether `source` means data files rather than the name of a data card."""
    path = Path(source)
    return (
        path.is_file()
        or path.suffix.lower() in {*find_formats(), *SUFFIXES}
        or _is_pattern(path)
        or split_member(path)[1] is not None
        or (path.is_dir() and not (path / "README.md").is_file())
    )


def check_path(path: Path) -> None:
    """Raise DataError when a file or folder does not exist, or no file matches a pattern."""
    files_of(path)


def check_file(path: Path, reading: Reading | None = None) -> None:
    """Raise DataError when a file does not exist, or neither its name nor its content belongs to a format."""
    for file in files_of(path):
        if file.is_dir():
            _folder_format(file)
        elif file.suffix.lower() not in find_formats():
            _check_content(file, reading or Reading())


def _check_content(path: Path, reading: Reading) -> None:
    """Raise DataError when the content of a file belongs to no format. Of a long file, the beginning is enough if it does."""
    beginning = open_source(path, reading, _CHECKED_BYTES)
    if len(beginning.data) < _CHECKED_BYTES:
        choose_format(beginning)
        return
    beginning = replace(beginning, data=beginning.data[: beginning.data.rfind(b"\n") + 1])
    try:
        choose_format(beginning)
    except DataError:  # an error about the whole file names the line
        choose_format(open_source(path, reading))


def read_file(path: Path, reading: Reading | None = None) -> RawRows:
    """Return the rows of a data file as dicts; at least one row. Raises DataError."""
    return read_table(path, reading).rows


def read_table(path: Path, reading: Reading | None = None) -> FileRows:
    """Return the rows of a file, of a folder, or of all files that a pattern such as train-*.parquet matches.

    There is at least one row. Text files are UTF-8 unless a byte order mark, the content or `reading` says otherwise. Raises
    DataError.
    """
    files = files_of(path)
    reading = reading or Reading()
    tables = [_read_one(file, reading) for file in files]
    if len(tables) == 1:
        return tables[0]
    return _joined(path, files, tables)


def notes_of_splits(files: Mapping[SplitName, HasNotes]) -> list[str]:
    """Return the notes on the files of a run, each with the splits that it is about."""
    splits: dict[str, list[str]] = {}
    for split, file in files.items():
        for note in file.notes:
            splits.setdefault(note, []).append(split)
    return [f"{', '.join(names)}: {note}" for note, names in splits.items()]


def open_source(path: Path, reading: Reading, at_most: int = -1) -> Source:
    """Return the unpacked content of a file, or its first `at_most` bytes. Raises DataError."""
    with open_unpacked(path) as content:
        data = content.file.read(at_most)
    return Source(str(path), content.suffix, data, reading, compression=content.compression)


def choose_format(source: Source) -> Format:
    """Return the format of a file: that of the setting `format`, of its content, or of its suffix, in this order.

    Notes a content that does not follow the suffix. Raises DataError.
    """
    by_suffix = find_formats()
    if (wanted := source.reading.format) is not None:
        names = {item.name: item for item in file_formats()}
        if wanted not in names:
            hint = did_you_mean(wanted, names)
            raise DataError(f"{source.name}: unknown format '{wanted}'; allowed: {one_of(names)}.{hint}")
        return names[wanted]
    named = by_suffix.get(source.suffix)
    if named is not None and (not named.is_text or not source.data):
        return named
    if source.data[257:262] == b"ustar":
        raise DataError(f"{source.name}: is a tar archive; unpack it")
    for magic, meaning in _FOREIGN_FILES.items():
        if source.data.startswith(magic) and not any(
            _fits(item, source) for item in file_formats() if not item.is_text
        ):
            raise DataError(f"{source.name}: is {meaning}")
    for candidate in file_formats():
        if not (candidate.is_guess and named is not None) and _fits(candidate, source):
            if named is not None and candidate is not named:
                source.notes.append(
                    f"the content is {candidate.name}, not {source.suffix.removeprefix('.')} as the file is named; read as "
                    f"{candidate.name} (data.reading.format={named.name} overrides this)"
                )
            return candidate
    if named is None:
        raise DataError(
            f"{source.name}: unknown file type '{source.suffix}'; allowed: {one_of(by_suffix, limit=30)}; or set "
            f"data.reading.format to one of {one_of([item.name for item in file_formats()], limit=20)}"
        )
    return named


def _fits(candidate: Format, source: Source) -> bool:
    return candidate.fits is not None and (source.is_text or not candidate.is_text) and candidate.fits(source)


def _read_one(path: Path, reading: Reading) -> FileRows:
    """Return the rows of a file or a folder, and how they were read. Raises DataError."""
    if path.is_dir():
        folder = FolderSource(path, reading)
        folder_format = _folder_format(path)
        return _table(folder_format.read(folder), folder, folder_format.name)
    source = open_source(path, reading)
    chosen = choose_format(source)
    table = _table(chosen.read(source), source, chosen.name)
    return replace(
        table,
        encoding=source.decoded.encoding if chosen.is_text else None,
        compression=source.compression,
        delimiter=source.delimiter,
        class_names=source.class_names,
    )


def _table(value: Any, source: Source | FolderSource, format_name: str) -> FileRows:
    """Return the rows of the value that a format returned. Raises DataError if there are none."""
    table = read_layout(value, source.name, source.notes)
    if not table.rows:
        raise DataError(f"{source.name}: the {'folder' if isinstance(source, FolderSource) else 'file'} has no rows")
    rows = with_aliases(table.rows, table.aliases, source.notes)
    return FileRows(rows, format_name, aliases=table.aliases, notes=source.notes)


def with_aliases(rows: RawRows, aliases: Aliases, notes: list[str]) -> RawRows:
    """Return the rows with the columns of tasks that other columns hold, unless a row has a column of this name."""
    added = {name: column for name, column in aliases.items() if not any(name in row for row in rows)}
    if not added:
        return rows
    notes.append(f"columns with other names: {', '.join(f'{name} is {column!r}' for name, column in added.items())}")
    return [{**row, **{name: row.get(column) for name, column in added.items()}} for row in rows]


def _joined(pattern: Path, files: list[Path], tables: list[FileRows]) -> FileRows:
    """Return the rows of several files in the order of their names. Raises DataError if the formats differ."""
    check_formats(pattern, files, [table.format for table in tables])
    rows = [row for table in tables for row in table.rows]
    return replace(tables[0], rows=rows, notes=notes_of_files(files, [table.notes for table in tables]))


def check_formats(pattern: Path, files: Sequence[Path], formats: Sequence[str]) -> None:
    """Raise DataError if the files that a pattern matches have different formats."""
    by_format = dict(zip(formats, files, strict=True))
    if len(by_format) > 1:
        described = "; ".join(f"{file} is {name}" for name, file in by_format.items())
        raise DataError(
            f"{pattern}: the files have different formats ({described}); use a pattern that matches one format"
        )


def notes_of_files(files: Sequence[Path], notes: Sequence[Sequence[str]]) -> list[str]:
    """Return the notes on files that a pattern matches, each once; of one file, its notes."""
    if len(files) == 1:
        return list(notes[0])
    title = f"{len(files)} files: {one_of([file.name for file in files], limit=4)}"
    return [title, *dict.fromkeys(note for each in notes for note in each)]


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def files_of(path: Path) -> list[Path]:
    """Return the path, or the files that a pattern matches, in alphabetical order. Raises DataError if there is none."""
    if _is_pattern(path):
        start = Path(path.anchor)
        files = sorted(file for file in start.glob(str(path.relative_to(start))) if file.is_file())
        if not files:
            raise DataError(f"{path}: no file matches this pattern (looked in {Path.cwd()})")
        return files
    if path.is_dir() or path.is_file() or split_member(path)[1] is not None:
        return [path]
    siblings = [sibling.name for sibling in path.parent.glob("*")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f" Did you mean '{path.with_name(near[0])}'?" if near else ""
    raise DataError(f"{path}: file not found (looked in {path.parent.resolve()}).{hint}")


def _folder_format(path: Path) -> FolderFormat:
    """Return the format of a folder. Raises DataError, with the data files in the folder."""
    chosen = next((item for item in folder_formats() if item.fits(path)), None)
    if chosen is not None:
        return chosen
    known = find_formats()
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in known)[:5]
    hint = (
        f" Give one of its files, such as {files[0]}, or a pattern, such as {files[0].parent / '*'}{files[0].suffix}"
        if files
        else ""
    )
    names = one_of([item.name for item in folder_formats()])
    raise DataError(f"{path}: is a folder that no format reads; folders are read in the formats {names}.{hint}")
