"""Write copies of data files in which placeholders replace personal data (`ftk data audit --redact`)."""

import bz2
import gzip
import lzma
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import DataError, UsageError, one_of
from ft_toolkit.core.files import atomic_folder
from ft_toolkit.data.columns import columns_of
from ft_toolkit.data.formats import file_formats
from ft_toolkit.data.local_files import choose_format, files_of, open_source, read_table
from ft_toolkit.data.redacted_values import Redactor, check_problems
from ft_toolkit.recipe.reading import Reading

_COMPRESS: Mapping[str | None, Callable[[bytes], bytes]] = {
    None: lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@dataclass(frozen=True)
class RedactedFile:
    """A written copy, and the number of replacements by placeholder."""

    path: Path
    counts: Mapping[str, int]


def redact_files(paths: Sequence[str], folder: Path, reading: Reading | None = None) -> list[RedactedFile]:
    """Write a copy of each file into a new folder, with the same name, format, encoding and columns.

    `paths` are files, or patterns such as train-*.csv. Nothing is written if a record cannot be redacted, if a format cannot
    be written, or if a copy does not have the rows of its original. Raises DataError and UsageError.
    """
    files = list(dict.fromkeys(file for path in paths for file in files_of(Path(path))))
    names = Counter(file.name for file in files)
    if same := [name for name, n in names.items() if n > 1]:
        raise UsageError(
            f"--redact: several files have the name {one_of(same)}, but the copies are in one folder; rename them"
        )
    reading = reading or Reading()
    redactor = Redactor()
    with atomic_folder(folder) as fresh:
        written = [_redact(file, fresh / file.name, reading, redactor) for file in files]
        check_problems(redactor.problems)
        for file in files:
            _check_copy(file, fresh / file.name, reading)
    return [RedactedFile(folder / file.name, counts) for file, counts in zip(files, written, strict=True)]


def _redact(file: Path, copy: Path, reading: Reading, redactor: Redactor) -> dict[str, int]:
    """Write the copy of a file, and return the number of replacements by placeholder. Raises UsageError."""
    if file.is_dir():
        raise UsageError(
            f"--redact: {file} is a folder; write its rows to a file first: 'ftk convert {file} rows.jsonl'"
        )
    source = open_source(file, reading)
    chosen = choose_format(source)
    if chosen.rewrite is None or source.compression not in _COMPRESS:
        formats = one_of([item.name for item in file_formats() if item.rewrite is not None], limit=20)
        raise UsageError(
            f"--redact: {file} cannot be written as {chosen.name if chosen.rewrite is None else source.compression}; formats "
            f"that can be written: {formats}. Write its rows to a file first: 'ftk convert {file} rows.jsonl'"
        )
    before = Counter(redactor.counts)
    content = chosen.rewrite(source, redactor.change)
    data = content if isinstance(content, bytes) else content.encode(source.decoded.encoding)
    copy.write_bytes(_COMPRESS[source.compression](data))
    return dict(sorted((redactor.counts - before).items()))


def _check_copy(file: Path, copy: Path, reading: Reading) -> None:
    """Raise DataError if a copy does not have the rows and columns of its original, or still has personal data."""
    old, new = read_table(file, reading).rows, read_table(copy, reading).rows
    if len(old) != len(new) or columns_of(old) != columns_of(new):
        raise DataError(f"--redact: {file}: the copy does not have the same rows and columns, so nothing was written")
    rest = Redactor()
    for number, row in enumerate(new, 1):
        rest.change(row, f"{file}: row {number}")
        if rest.counts or rest.problems:
            raise DataError(
                f"--redact: {file}: row {number} has personal data over several records, so nothing was written. Write the "
                f"rows to a file first: 'ftk convert {file} rows.jsonl'"
            )
