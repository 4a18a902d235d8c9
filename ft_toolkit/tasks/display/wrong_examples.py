"""The data types of wrong examples, and helpers that build texts with marked pieces.

mark_text("Ada met Bob", [Mark(0, 3, "reference"), Mark(8, 11, "predicted", "predicted PER 0.80")])
-> Piece("Ada", "reference"), Piece(" met "), Piece("Bob", "predicted", "predicted PER 0.80")
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

# Wrong examples shown per split.
LIMIT = 20
# Generated texts need more space than labels.
GENERATED_LIMIT = 10
# Longer texts are cut to this many characters on the page; predictions.jsonl holds all of them.
SHOWN_CHARACTERS = 600
# Characters shown on each side of a mark in a long text.
_CONTEXT = 120
GAP = " … "
# Keys of a line of predictions.jsonl that are neither inputs nor part of the prediction.
_BOOKKEEPING = ("split", "id", "gold")

Style = Literal["", "reference", "predicted", "reference predicted"]


@dataclass(frozen=True)
class Piece:
    """A piece of a text: plain, part of the reference answer, part of the prediction, or part of both.

    `note` is shown after the piece. `share` is the contribution of the piece to the predicted label, from -1 to 1, relative
    to the largest contribution in the text.
    """

    text: str
    style: Style = ""
    note: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A span of a text to mark, in characters, with a note."""

    start: int
    end: int
    style: Style
    note: str = ""


@dataclass(frozen=True)
class WrongExample:
    """One example: its input texts by column, the reference answer and the prediction.

    `reference` and `predicted` are None when the marks in the texts show them. `weight` is the sort key: examples with larger
    weights come first.
    """

    example_id: str
    texts: tuple[tuple[str, tuple[Piece, ...]], ...]
    reference: str | None
    predicted: str | None
    weight: tuple[float, ...]
    remark: str


@dataclass(frozen=True)
class WrongExamples:
    """The examples of a split that a reader should look at, in order, and a sentence on their selection.

    `n_wrong` counts all wrong examples, None for a task that does not tell right from wrong. `kinds` counts kinds of error:
    (kind, count, explanation). `side_by_side` shows reference and prediction as two columns of text. With `shaded`, pieces have
    shares.
    """

    heading: str
    summary: str
    examples: list[WrongExample]
    n_wrong: int | None = None
    kinds: tuple[tuple[str, int, str], ...] = ()
    side_by_side: bool = False
    shaded: bool = False


def shorten(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the text cut to `limit` characters, followed by the number of characters left out."""
    n_left_out = len(text) - limit
    return text if n_left_out <= 0 else f"{text[:limit]}… ({n_left_out:,} more characters)"


def draw(records: Sequence[Mapping[str, Any]], n: int, seed: int) -> list[Mapping[str, Any]]:
    """Return `n` records drawn at random by seed and id, whatever their order."""

    def key(record: Mapping[str, Any]) -> bytes:
        # not a checksum such as CRC-32: it is linear, so of numbered rows it drew none whose number is a multiple of 4
        return hashlib.blake2b(f"{seed} {record.get('id', '')}".encode()).digest()

    return sorted(records, key=key)[:n]


def plain_texts(record: Mapping[str, Any], prediction_keys: Sequence[str]) -> tuple[tuple[str, tuple[Piece, ...]], ...]:
    """Return the input texts of a line of predictions.jsonl by column, unmarked; lists of words are joined by spaces."""
    texts = []
    for name, value in record.items():
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            value = " ".join(value)
        if name not in (*_BOOKKEEPING, *prediction_keys) and isinstance(value, str):
            texts.append((name, (Piece(shorten(value)),) if value.strip() else ()))
    return tuple(texts)


def mark_text(text: str, marks: Sequence[Mark]) -> tuple[Piece, ...]:
    """Return the text cut at the ends of its marks. Overlapping marks combine their styles.

    A text longer than SHOWN_CHARACTERS is reduced to the surroundings of its marks. Marks outside the text are ignored.
    """
    marks = [mark for mark in marks if 0 <= mark.start < mark.end <= len(text)]
    cuts = sorted({position for mark in marks for position in (mark.start, mark.end)})
    excerpts = _excerpts(text, marks)
    pieces: list[Piece] = []
    for number, (start, end) in enumerate(excerpts):
        if start > 0:
            pieces.append(Piece(GAP.lstrip() if number == 0 else GAP))
        for left, right in pairwise([start, *(cut for cut in cuts if start < cut < end), end]):
            covering = [mark for mark in marks if mark.start <= left and right <= mark.end]
            notes = [mark.note for mark in covering if mark.end == right and mark.note]
            pieces.append(Piece(text[left:right], _style(covering), "; ".join(sorted(notes, reverse=True))))
    if pieces and excerpts[-1][1] < len(text):
        pieces.append(Piece(GAP.rstrip()))
    return tuple(pieces)


def _style(marks: Sequence[Mark]) -> Style:
    styles = {style for mark in marks for style in mark.style.split()}
    if styles == {"reference", "predicted"}:
        return "reference predicted"
    return "reference" if "reference" in styles else "predicted" if "predicted" in styles else ""


def _excerpts(text: str, marks: Sequence[Mark]) -> list[tuple[int, int]]:
    """Return the spans of the text to show: all of a short text, otherwise the surroundings of the first marks."""
    if len(text) <= SHOWN_CHARACTERS:
        return [(0, len(text))]
    if not marks:
        return [(0, SHOWN_CHARACTERS)]
    excerpts: list[tuple[int, int]] = []
    for mark in sorted(marks, key=lambda mark: mark.start):
        start = _word_boundary(text, max(0, mark.start - _CONTEXT))
        # a very long answer is cut too
        end = _word_boundary(text, min(len(text), min(mark.end, mark.start + SHOWN_CHARACTERS) + _CONTEXT))
        if excerpts and start <= excerpts[-1][1]:
            excerpts[-1] = (excerpts[-1][0], max(end, excerpts[-1][1]))
        elif sum(right - left for left, right in excerpts) < SHOWN_CHARACTERS:
            excerpts.append((start, end))
    return excerpts


def _word_boundary(text: str, position: int) -> int:
    """Return the position of the next space within 20 characters, otherwise the position itself."""
    space = text.find(" ", position, position + 20)
    return position if position in (0, len(text)) or space < 0 else space
