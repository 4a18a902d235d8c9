"""Choose columns of an unknown file by the kind of their values and by their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ft_toolkit.tasks.base import FirstModel
from ft_toolkit.tasks.guessing.languages import UNSPACED, language_of
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table

# Names of columns that identify or order rows: neither a text to read nor a label.
IDENTIFIERS = (
    "id", "ids", "index", "idx", "no", "nr", "number", "uuid", "guid", "key", "date", "time", "timestamp", "datum",
    "created", "updated", "url", "link", "user", "username", "email", "file", "filename", "path", "split", "fold",
    "unnamed", "page", "line", "start", "end", "meta", "ip", "phone", "hash",
)  # fmt: skip
TEXTS = (
    "text", "sentence", "review", "content", "body", "message", "comment", "tweet", "utterance", "question", "query",
    "title", "description", "document", "article", "abstract", "post", "note", "feedback", "texts", "kommentar",
    "bewertungstext", "nachricht", "satz", "texte", "commentaire", "avis", "phrase", "texto", "comentario", "mensaje",
    "testo", "messaggio", "tekst", "data",
)  # fmt: skip


def is_identifier(column: ColumnFacts) -> bool:
    """Return whether the name of a column says that it identifies or orders rows."""
    return column.match(IDENTIFIERS) > 0


def text_columns(table: Table, taken: Collection[str] = ()) -> list[ColumnFacts]:
    """Return the columns with texts to read, the most likely one first.

    Texts are long or have a telling name; short repeated values and identifiers are not texts to read.
    """
    columns = [
        column
        for column in table.of_kind("text")
        if column.name not in taken and (reads_like_text(column) or (column.match(TEXTS) and not is_identifier(column)))
    ]
    return sorted(columns, key=_text_score, reverse=True)


def reads_like_text(column: ColumnFacts) -> bool:
    """Return whether the values are different texts of several words (or, without spaces, of several characters)."""
    long_enough = column.mean_words >= 2.5 or (
        column.mean_characters >= 6 and language_of(column.values[:100]) in UNSPACED
    )
    return column.kind == "text" and long_enough and (column.distinct_share >= 0.3 or column.n_distinct > 1000)


def _text_score(column: ColumnFacts) -> float:
    name = column.match(TEXTS) - (0.8 if is_identifier(column) else 0)
    return name + min(column.mean_characters, 200) / 200 + 0.5 * column.distinct_share


def first_named(columns: Sequence[ColumnFacts], exact: Sequence[str], words: Sequence[str] = ()) -> ColumnFacts | None:
    """Return the column whose name matches best (see `ColumnFacts.match`), the first of equal ones; None without a match."""
    best = max(columns, key=lambda column: column.match(exact, words), default=None)
    return best if best is not None and best.match(exact, words) else None


def encoder_for(language: str | None, *, cased: bool) -> FirstModel:
    """Return a pretrained encoder for texts of a language; `cased` keeps the difference between upper and lower case."""
    if language == "en":
        name = "distilbert/distilbert-base-cased" if cased else "distilbert/distilbert-base-uncased"
        return FirstModel(name, "a small model for English texts")
    return FirstModel("FacebookAI/xlm-roberta-base", "a model for texts in 100 languages")


def describe(column: ColumnFacts) -> str:
    """Return a phrase on the values of a column, such as "1,200 different texts of 34 words on average"."""
    if column.kind == "text":
        return f"{column.n_distinct:,} different texts, {column.mean_words:.1f} words on average"
    return f"{column.n_distinct:,} different values ({column.kind})"
