"""Recognize rows with a source text and a target text: translation and summarization."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.columns import describe, reads_like_text, text_columns
from ft_toolkit.tasks.guessing.languages import UNSPACED, language_of
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table

_DOCUMENTS = (
    "document",
    "article",
    "text",
    "dialogue",
    "body",
    "content",
    "source",
    "report",
    "bill",
    "story",
    "maintext",
)
# A column with one of these names is a summary; with one of the others, if its words occur in a longer text beside it.
_CLEAR_SUMMARIES = ("summary", "summaries", "highlights", "tldr", "zusammenfassung")
_SUMMARIES = ("abstract", "headline", "resume", "resumen", "title")
_SOURCES, _TARGETS = ("source", "src"), ("target", "tgt", "translation")
# Two-letter codes; tokens of NLLB and mBART such as eng_Latn and en_XX.
_CODE = re.compile(r"([a-z]{2})(?:[-_][A-Z]{2})?|([a-z]{3})_[A-Z][a-z]{3}")
# A summary has at most this share of the words of its document, and most of its words occur there.
_SUMMARY_SHARE = 0.5
_SHARED_WORDS = 0.4
_ROWS = 300
_SUMMARIZERS = {
    "en": FirstModel("facebook/bart-base", "an encoder-decoder for English texts"),
    None: FirstModel("google/mt5-small", "a small model for texts in 101 languages"),
}


def guess_summary(table: Table) -> Guess:
    """Return the columns of documents and summaries."""
    texts = text_columns(table)
    any_text = table.of_kind("text")
    summary = table.named_column("summary") or _first(any_text, _CLEAR_SUMMARIES) or _first(texts, _SUMMARIES)
    documents = [column for column in texts if column is not summary]
    document = table.named_column("document") or _first(
        [column for column in any_text if column is not summary], _DOCUMENTS
    )
    has_clear_name = summary is not None and summary.match(_CLEAR_SUMMARIES) == 1
    if summary is None:
        document = document or max(texts, key=lambda column: column.mean_words, default=None)
        shorter = [column for column in texts if column is not document]
        summary = max(shorter, key=lambda column: column.distinct_share, default=None)
    document = document or next(iter(documents), None)
    if document is None or summary is None or document is summary:
        return Guess(0, ("no two columns with texts",))
    is_named = {"document", "summary"} <= set(table.named) or has_clear_name
    ratio = _size(summary) / max(_size(document), 1)
    shared = _shared_words(table, document, summary)
    if not is_named and (ratio > _SUMMARY_SHARE or not reads_like_text(summary)):
        return Guess(0, (f"'{summary.name}' is not a short text beside '{document.name}'",))
    if not is_named and shared < _SHARED_WORDS:
        return Guess(0, (f"only {shared:.0%} of the words of '{summary.name}' occur in '{document.name}'",))
    return Guess(
        0.95 if is_named else 0.6,
        (
            f"'{document.name}' has {describe(document)}",
            f"'{summary.name}' has {describe(summary)}; {shared:.0%} of its words occur in '{document.name}'",
        ),
        {"document": document.name, "summary": summary.name},
        {"max_target_length": _target_length(summary)},
        model=_SUMMARIZERS.get(language_of(document.values)) or _SUMMARIZERS[None],
    )


def guess_translation(table: Table, model_for: Callable[[str | None, str | None], FirstModel]) -> Guess:
    """Return the columns of the two languages, in their order in the file.

    `model_for` maps the codes of source and target language, or None for an unknown one, to a first model.
    """
    dicts = [column for column in table.of_kind("objects") if _languages(column)]
    if dicts and not table.named:
        codes = _languages(dicts[0])
        columns = {"source": dicts[0].name, "target": dicts[0].name}
        return _translation(0.95, codes[0], codes[1], columns, f"'{dicts[0].name}' has a text per language", model_for)
    texts = [column for column in table.of_kind("text") if reads_like_text(column)]
    coded = [column for column in texts if _CODE.fullmatch(column.name) and column.name != "id"]
    any_text = table.of_kind("text")
    first = table.named_column("source") or _first(any_text, _SOURCES)
    second = table.named_column("target") or _first([column for column in any_text if column is not first], _TARGETS)
    is_named = first is not None and second is not None
    score = 0.7
    if first is not None and second is not None:
        score = 0.95 if _size(second) >= 2 else 0.6  # single words may be labels
    if len(coded) == 2 and not table.named:
        (first, second), score = coded, 0.95
    if (first is None or second is None) and len(texts) == 2:
        first, second = texts
    if first is None or second is None or first is second:
        return Guess(0, ("no two columns with texts in two languages",))
    source, target = (column.name if column in coded else language_of(column.values) for column in (first, second))
    ratio = _size(second) / max(_size(first), 1)
    if not is_named and (source == target or not 0.4 <= ratio <= 2.5):
        return Guess(0, (f"'{first.name}' and '{second.name}' are not texts of similar length in two languages",))
    columns = {"source": first.name, "target": second.name}
    sign = "the names of a source and a target" if is_named else "texts of similar length in two languages"
    reason = f"'{first.name}' and '{second.name}' have {sign}"
    return _translation(score, source, target, columns, reason, model_for)


def _translation(
    score: float,
    source: str | None,
    target: str | None,
    columns: Mapping[str, str],
    reason: str,
    model_for: Callable[[str | None, str | None], FirstModel],
) -> Guess:
    settings: dict[str, Any] = {"source_language": source, "target_language": target}
    reverse = (
        f"to translate in the other direction: --column source={columns['target']} --column target={columns['source']}"
    )
    return Guess(
        score,
        (reason, f"the languages are {source or 'unknown'} and {target or 'unknown'}, in the order of the columns"),
        columns,
        {name: value for name, value in settings.items() if value is not None},
        model=model_for(source, target),
        alternatives=() if columns["source"] == columns["target"] else (reverse,),
    )


def _languages(column: ColumnFacts) -> list[str]:
    """Return the keys of objects that hold one text per language code, otherwise nothing."""
    first = column.values[0]
    if not isinstance(first, Mapping) or len(first) < 2:
        return []
    is_coded = all(_CODE.fullmatch(str(key)) and isinstance(value, str) for key, value in first.items())
    return [str(key) for key in first] if is_coded else []


def _first(columns: list[ColumnFacts], names: tuple[str, ...]) -> ColumnFacts | None:
    """Return the column whose complete name is the earliest of `names`."""
    matches = [(names.index(name), column) for column in columns for name in names if column.match((name,)) == 1]
    return min(matches, key=lambda item: item[0])[1] if matches else None


def _size(column: ColumnFacts) -> float:
    """Return the mean length in words; in pairs of characters for languages without spaces."""
    return column.mean_characters / 2 if language_of(column.values[:100]) in UNSPACED else column.mean_words


def _shared_words(table: Table, document: ColumnFacts, summary: ColumnFacts) -> float:
    """Return the mean share of the words of a summary that its document contains."""
    shares = []
    for row in table.rows[:: -(-len(table.rows) // _ROWS)]:
        source, words = str(row.get(document.name)).lower(), str(row.get(summary.name)).lower().split()
        if words:
            shares.append(sum(word.strip(".,;:!?\"'") in source for word in words) / len(words))
    return sum(shares) / len(shares) if shares else 0.0


def _target_length(column: ColumnFacts) -> int:
    """Return a limit in tokens for nearly all targets: a power of two from 32 to 256."""
    longest = sorted(len(str(value)) for value in column.values)[int(0.98 * (len(column.values) - 1))]
    return next((limit for limit in (32, 64, 128) if longest / 3.5 <= limit), 256)
