"""The definition of a file format, and the open file that its reader gets."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ft_toolkit.core.characters import has_lone_surrogate
from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.core.text_lines import LINE_END, split_lines
from ft_toolkit.data.encoding import Decoded, decode
from ft_toolkit.recipe.reading import Reading

RawRows = list[dict[str, Any]]
# Halves of characters occur in JSON files only as escapes.
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


# Characters at the beginning of a file that a content test looks at: 1000 lines of 200 characters.
_HEAD = 200_000


@dataclass
class Source:
    """A data file in memory, unpacked.

    `name` is the file in messages, `suffix` its lower-case suffix (.csv for rows.csv.gz), and `reading` the user's settings. A
    reader appends a note to `notes` for each choice that the user should know about, and sets `delimiter` if the columns have
    one. `class_names` are the names of class labels that the file stores, in order, by column.
    """

    name: str
    suffix: str
    data: bytes
    reading: Reading = field(default_factory=Reading)
    notes: list[str] = field(default_factory=list)
    compression: str | None = None
    delimiter: str | None = None
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def decoded(self) -> Decoded:
        """The text and its encoding. Raises DataError."""
        decoded = decode(self.data, self.name, self.reading.encoding)
        if decoded.note is not None:
            self.notes.append(decoded.note)
        return decoded

    @property
    def is_text(self) -> bool:
        """Whether the content can be decoded."""
        try:
            return self.decoded is not None
        except DataError:
            return False

    @property
    def text(self) -> str:
        """The text without a byte order mark. Raises DataError."""
        return self.decoded.text

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text without their line ends. Raises DataError."""
        return split_lines(self.text)

    @cached_property
    def head(self) -> list[str]:
        """The first lines, enough to recognize a format without splitting a large file. Raises DataError."""
        if len(self.text) <= _HEAD:
            return self.lines
        return split_lines(self.text[:_HEAD])[:-1] or self.lines


@dataclass(frozen=True)
class FolderSource:
    """A folder with data, and the user's settings; see `Source` for `notes`."""

    path: Path
    reading: Reading = field(default_factory=Reading)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder in messages."""
        return str(self.path)


# (value, its location for messages) -> the value with other texts, or the same object without a change. Raises DataError.
Change = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Format:
    """A file format.

    `suffixes` are lower-case file name suffixes with the dot. `read` returns one dict per row, with the column names of
    the file, and may return an empty list. It raises DataError with the file and, where there is one, the line. `rewrite`
    returns the content of the file with other texts in the same places: it calls the function with each record, or with a JSON
    document. Records without a change stay as they are. None: such files cannot be written.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Source], RawRows]
    rewrite: Callable[[Source, Change], str | bytes] | None = None
    # (the beginning of a long file, all its lines with their ends) -> the rows one by one; None: this file must be read as a
    # whole. Without this function, every file is.
    stream: Callable[[Source, Iterable[str]], Iterator[Any] | None] | None = None
    # (the file, its path) -> the rows of a long binary file one by one.
    stream_file: Callable[[Source, Path], Iterator[dict[str, Any]]] | None = None
    # Whether the content is certainly of this format, regardless of the suffix. None: only the suffix selects the format.
    fits: Callable[[Source], bool] | None = None
    # Whether the content test is weak. It is then used only for files with a suffix of no format.
    is_guess: bool = False
    # Formats are tried in this order; a lower number has a stricter test.
    order: int = 50
    # Whether the file is text. A binary format is tried before the file is decoded.
    is_text: bool = True


@dataclass(frozen=True)
class FolderFormat:
    """A format whose data is a folder. `fits` returns whether a folder has this format."""

    name: str
    fits: Callable[[Path], bool]
    read: Callable[[FolderSource], RawRows]


def check_characters(value: Any, text: str, where: str) -> None:
    """Raise DataError if a JSON value, read from `text`, has half a character, such as \\ud83d without its second half."""
    if _SURROGATE_ESCAPE.search(text) and has_lone_surrogate(value):
        raise DataError(
            f"{where}: a text has half a character (a lone surrogate such as \\ud83d), which no model can read; write the file "
            "again from its source, or remove the character"
        )


def rewrite_lines(source: Source, change: Callable[[str, str], str]) -> str:
    """Return the text of a file with each line changed. The line ends stay."""
    parts = LINE_END.split(source.text)
    ends = [*LINE_END.findall(source.text), ""]
    changed = (change(line, f"{source.name}:{number}") for number, line in enumerate(parts, 1))
    return "".join(line + end for line, end in zip(changed, ends, strict=True))


# A column of a task -> the column of the file that holds it under another name.
Aliases = Mapping[str, str]


def named_columns(fields: Sequence[str], source: Source) -> list[str]:
    """Return the column names of a table, without white space around them; columns without a name are numbered."""
    header = [field.strip() for field in fields]
    if header.count("") < 2:
        return header
    numbered = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    unnamed = [name for name, field in zip(numbered, header, strict=True) if not field]
    source.notes.append(f"columns without a name are called {one_of(unnamed)}")
    return numbered
