"""CoNLL columns: one word per line with its tag in the last column; a blank line ends a sentence.

    # text = Anna lives
    Anna   B-PER
    lives  O

Columns are separated by tabs or, in a line without a tab, by spaces; in a .csv file by commas. CoNLL-U, CoNLL-2003, GermEval
and the CoNLL exports of annotation tools differ in the columns of words and tags; see `_choose_columns`.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Change, Format, RawRows, Source, rewrite_lines
from ft_toolkit.metrics.spans import TAG

_KEY_VALUE = re.compile(r"#\s*[^\s=]+\s*=(\s.*)?")
_KEY = re.compile(r"#\s*[^\s=]+\s*=")
_NEW_DOCUMENT = re.compile(r"#\s*newdoc\b")
# The number of a word in its sentence; CoNLL-U also has ranges (3-4) and empty words (3.1), which are not words of the text.
_INDEX = re.compile(r"\d+([-.]\d+)?")
# One tag, not the tags of a sentence.
_ONE_TAG = re.compile(r"O|[BIESLU]-\S+")
_HEADERS = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity"}


@dataclass
class _Sentence:
    """The columns of each word, the line of each, and the number of the document (0: before the first mark)."""

    document: int = 0
    words: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Columns:
    """The positions of words and tags; tags None: the file has no tags."""

    tokens: int
    tags: int | None


def read(source: Source) -> RawRows:
    """Return one row per sentence: `tokens`, `tags` if the lines have several columns, and `document` if several are marked.

    A document begins at -DOCSTART- or "# newdoc"; `document` is its number. Raises DataError.
    """
    sentences = [sentence for sentence in _sentences(source) if sentence.words]
    _drop_header(sentences, source)
    sentences = [sentence for sentence in sentences if sentence.words]
    columns = _choose_columns(sentences, source)
    # one document for all rows, as in Label Studio's export, is not a grouping
    has_documents = len({sentence.document for sentence in sentences}) > 1
    rows = []
    for sentence in sentences:
        words = sentence.words if columns.tokens == 0 else [w for w in sentence.words if _is_word(w)]
        row: dict[str, object] = {"tokens": [word[columns.tokens] for word in words]}
        if columns.tags is not None:
            row["tags"] = [word[columns.tags] for word in words]
        if has_documents:
            row["document"] = sentence.document
        if words:
            rows.append(row)
    return rows


def fits(source: Source) -> bool:
    """Return whether every line has the same number of columns, two or more, and a tag in the last one.

    Lines of a text may end with O or with a word such as B-12. A .txt file therefore needs words with and without an entity,
    and two columns, or a mark between sentences.
    """
    if source.text.lstrip()[:1] in ("{", "["):
        return False
    lines = source.head[:2000]
    if source.suffix == ".csv" and not _has_inner_blank_line(lines):
        return False
    words = [word for sentence in _sentences(source, lines) for word in sentence.words]
    if words and words[0][-1].lower() in _HEADERS:
        words = words[1:]
    tags = {word[-1] for word in words}
    is_marked = _has_inner_blank_line(lines) or any(line.startswith("-DOCSTART-") for line in lines)
    if source.suffix == ".txt" and not ("O" in tags and (is_marked or len(words[0]) == 2)):
        return False
    return (
        len({len(word) for word in words}) == 1
        and len(words[0]) > 1
        and all(map(_ONE_TAG.fullmatch, tags))
        and bool(tags - {"O"})
    )


def _has_inner_blank_line(lines: list[str]) -> bool:
    filled = [number for number, line in enumerate(lines) if line.strip()]
    return bool(filled) and len(filled) < filled[-1] - filled[0] + 1


def _sentences(source: Source, lines: list[str] | None = None) -> Iterator[_Sentence]:
    """Yield the sentences, some without words, with the columns of every line that is not a comment."""
    lines = source.lines if lines is None else lines
    delimiter = _delimiter(lines, source)
    document = 0
    sentence = _Sentence()
    for number, line in enumerate(lines, 1):
        # not str.strip() or str.split(): a no-break space may be a word
        line = line.strip(" \t")
        columns = _split(line, delimiter)
        if line.startswith("-DOCSTART-") or (_NEW_DOCUMENT.match(line) and not TAG.fullmatch(columns[-1])):
            document += 1
            yield sentence
            sentence = _Sentence(document)
        elif not columns:
            yield sentence
            sentence = _Sentence(document)
        elif not _is_comment(line, columns, delimiter, starts_sentence=not sentence.words):
            sentence.words.append(columns)
            sentence.lines.append(number)
    yield sentence


def _delimiter(lines: list[str], source: Source) -> str:
    """Return a tab if most lines have one; a comma in a csv file; else a space."""
    if source.reading.delimiter is not None:
        return source.reading.delimiter
    filled = [line for line in lines if line.strip()]
    if 2 * sum("\t" in line for line in filled) > len(filled):
        return "\t"
    return "," if source.suffix == ".csv" else " "


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter not in "\t ":
        return [part.strip(" ") for part in next(csv.reader([line], delimiter=delimiter), [])]
    columns = [part.strip(" ") for part in line.split("\t")] if "\t" in line else line.split(" ")
    return [part for part in columns if part]


def _is_comment(line: str, columns: list[str], delimiter: str, *, starts_sentence: bool) -> bool:
    """Return whether a line is a comment: "# key = value" before a sentence, or "# " without a tag at the end.

    In a file with tabs, a line that begins with "# " and has no tab is a comment, regardless of its last word.
    """
    if not line.startswith("#"):
        return False
    if "\t" in line:
        return columns[0] == "#" and not TAG.fullmatch(columns[-1])
    if delimiter == "\t" and (_KEY.match(line) or (line.startswith("# ") and len(columns) != 2)):
        return True
    if starts_sentence and _KEY_VALUE.fullmatch(line):
        return True
    return line.startswith("# ") and not TAG.fullmatch(columns[-1])


def _drop_header(sentences: list[_Sentence], source: Source) -> None:
    """Remove a first line with column names, and add a note."""
    if not sentences or sentences[0].words[0][-1].lower() not in _HEADERS:
        return
    header = sentences[0].words.pop(0)
    sentences[0].lines.pop(0)
    source.notes.append(f"the first line ({' '.join(header)}) holds column names, so it is not read as a word")


def _is_word(columns: list[str]) -> bool:
    return columns[0].isdigit()


def _choose_columns(sentences: list[_Sentence], source: Source) -> _Columns:
    """Return the columns of words and tags.

    Words are in the first column or, if that counts the words of each sentence, in the second. Tags are in the last column,
    or in the only column that holds tags. The settings token_column and tag_column override this. Raises DataError.
    """
    words = [word for sentence in sentences for word in sentence.words]
    widths = {len(word) for word in words}
    reading = source.reading
    for name, column in (("token_column", reading.token_column), ("tag_column", reading.tag_column)):
        if column is not None and words and column > min(widths):
            where = next(n for s in sentences for n, w in zip(s.lines, s.words, strict=True) if len(w) < column)
            raise DataError(
                f"{source.name}:{where}: data.reading.{name}={column}, but the line has {min(widths)} columns"
            )
    is_counted = bool(words) and min(widths) > 2 and all(_counts(sentence) for sentence in sentences)
    tokens = reading.token_column - 1 if reading.token_column else int(is_counted)
    if is_counted and reading.token_column is None:
        source.notes.append("the first column counts the words; words are read from the second column")
    if reading.tag_column is not None:
        return _Columns(tokens, reading.tag_column - 1)
    if len(widths) > 1 and 1 in widths:
        line = next(n for s in sentences for n, w in zip(s.lines, s.words, strict=True) if len(w) == 1)
        raise DataError(
            f"{source.name}:{line}: only one column; each line needs a word and, in the last column, its tag"
        )
    if widths == {1} or not widths:
        return _Columns(0, None)
    return _Columns(tokens, _tag_column(words, tokens, source) if len(widths) == 1 else -1)


def _counts(sentence: _Sentence) -> bool:
    """Return whether the first column counts the words of a sentence from 0 or 1."""
    first = [word[0] for word in sentence.words]
    return all(map(_INDEX.fullmatch, first)) and first[0].partition("-")[0].partition(".")[0] in ("0", "1")


def _tag_column(words: list[list[str]], tokens: int, source: Source) -> int:
    """Return the position of the tags, and note a choice between columns."""
    last = len(words[0]) - 1
    with_tags = [
        column
        for column in range(tokens + 1, last + 1)
        if all(TAG.fullmatch(word[column]) for word in words) and any(word[column] != "O" for word in words)
    ]
    if all(TAG.fullmatch(word[last]) for word in words):
        if others := [str(column + 1) for column in with_tags if column != last]:
            source.notes.append(
                f"tags are read from the last column, {last + 1}; column {' and '.join(others)} also holds tags. Set "
                "data.reading.tag_column=N to use another column"
            )
        return last
    if len(with_tags) == 1:
        source.notes.append(f"tags are read from column {with_tags[0] + 1}, the only one that holds tags")
        return with_tags[0]
    return last


def rewrite(source: Source, change: Change) -> str:
    """Return the text with changed words and comments; the other columns stay. Raises DataError for columns with commas."""
    sentences = [sentence for sentence in _sentences(source) if sentence.words]
    delimiter = _delimiter(source.lines, source)
    if delimiter not in "\t ":
        raise DataError(f"{source.name}: words and tags with {delimiter!r} between them cannot be written; use tabs")
    _drop_header(sentences, source)
    column = _choose_columns(sentences, source).tokens
    words: dict[int, str] = {}
    for sentence in sentences:
        if sentence.words:
            tokens = [word[column] for word in sentence.words]
            changed = change(tokens, f"{source.name}:{sentence.lines[0]}")
            words |= {
                line: word for line, word, old in zip(sentence.lines, changed, tokens, strict=True) if word != old
            }
    of_words = {line for sentence in sentences for line in sentence.lines}

    def change_line(line: str, where: str) -> str:
        number = int(where.rpartition(":")[2])
        if number not in of_words:
            return str(change(line, where)) if line.startswith("#") else line
        if number not in words:
            return line
        fields = [match for match in re.finditer(r"[^\t]+" if "\t" in line else "[^ ]+", line) if match[0].strip(" ")]
        start, end = fields[column].span()
        return line[:start] + words[number] + line[end:]

    return rewrite_lines(source, change_line)


FORMAT = Format(
    name="conll",
    suffixes=(".conll", ".conllu", ".iob", ".iob2", ".bio", ".bmes"),
    read=read,
    rewrite=rewrite,
    fits=fits,
    order=40,
)
