"""Tables with one word per row: `Sentence #, Word, POS, Tag` (the NER corpus on Kaggle), `sentence_id, words, labels`.

The rows of a sentence have the same value in the column of the sentence, or only the first of them has one.
"""

import re
from itertools import groupby
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, records_of

_SENTENCES = (
    "sentence#",
    "sentenceid",
    "sentenceidx",
    "sentenceno",
    "sentencenumber",
    "sentence",
    "sentid",
    "sent",
    "sid",
)
_WORDS = ("word", "words", "token", "tokens", "text", "form")
_TAG = re.compile(r"O|[BIESLU]-\S+")


def matches(value: Any) -> bool:
    """Return whether a column holds one tag per row, and another one word per row."""
    records = records_of(value)
    return len(records) > 1 and _find(records) is not None


def _find(records: RawRows) -> tuple[str, str] | None:
    """Return the columns of words and tags, or None."""
    columns = list(records[0])
    tags = [column for column in columns if _holds_tags(records, column)]
    words = [column for column in columns if _key(column) in _WORDS and column not in tags]
    if not tags or not words or not all(_is_word(record.get(words[0])) for record in records):
        return None
    return words[0], tags[-1]


def _holds_tags(records: RawRows, column: str) -> bool:
    values = [record.get(column) for record in records]
    are_tags = all(isinstance(value, str) and _TAG.fullmatch(value) for value in values)
    return are_tags and any(value != "O" for value in values)


def _is_word(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not re.search(r"\s", str(value).strip())


def _key(column: str) -> str:
    return re.sub(r"[\s_-]", "", column).lower()


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return one row per sentence, with a list of values in every other column. Raises DataError without a sentence column."""
    records = records_of(value)
    columns = _find(records)
    assert columns is not None  # `matches` found them
    words, tags = columns
    by_key = {_key(column): column for column in reversed(list(records[0]))}
    sentence = next((by_key[key] for key in _SENTENCES if key in by_key and by_key[key] not in columns), None)
    if sentence is None:
        raise DataError(
            f"{name}: one word per row ('{words}', '{tags}'), and no column says which words form a sentence. Add a column "
            "'sentence_id' with the same value in all rows of a sentence, or write a .conll file: a word and its tag per line, "
            "and a blank line after each sentence"
        )
    filled = [record for record in records if str(record[words]).strip()]
    if len(filled) < len(records):
        notes.append(f"{len(records) - len(filled)} rows without a word were left out")
    groups = [
        (key, [row for _, row in group]) for key, group in groupby(_numbered(filled, sentence), lambda pair: pair[0])
    ]
    if len({key for key, _ in groups}) < len(groups):
        notes.append(f"some values of '{sentence}' occur in several places; only neighbouring rows form a sentence")
    others = [column for column in records[0] if column != sentence]
    rows: RawRows = [
        {sentence: key, **{column: [_text(row.get(column)) for row in group] for column in others}}
        for key, group in groups
    ]
    notes.append(
        f"{len(records):,} rows with one word each are read as {len(rows):,} sentences, by the column '{sentence}'"
    )
    return Table(rows, {"tokens": words, "tags": tags})


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _numbered(records: RawRows, sentence: str) -> list[tuple[str, dict[str, Any]]]:
    """Return each row with its sentence; a row without a value belongs to the sentence of the row before."""
    numbered, current = [], ""
    for record in records:
        value = record.get(sentence)
        if value is not None and value == value and str(value).strip():
            current = str(value)
        numbered.append((current, record))
    return numbered


LAYOUT = Layout(name="word_rows", matches=matches, read=read, title=None, order=5)
