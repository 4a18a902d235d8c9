"""What a mistake is for the report: pieces of text with marks, and the helpers that every form of record shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

LIMIT = 20
# Longer texts are shown up to here; predictions.jsonl has them whole.
SHOWN_CHARACTERS = 600
# Around a mark in a long text this much is shown on both sides.
_AROUND = 120
GAP = " … "

Style = Literal["", "gold", "predicted", "gold predicted"]


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: plain, or part of the true answer, of the predicted one, or of both; `note` stands behind it.

    `share` is what it contributed to the predicted label, from -1 to 1 of the largest contribution.
    """

    text: str
    style: Style = ""
    note: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A marked span of a text, in characters, and what is said of it."""

    start: int
    end: int
    style: Style
    note: str


@dataclass(frozen=True)
class Mistake:
    """One example. `texts` are the row's inputs by column; a `gold` or `predicted` of None is not shown.

    `weight` orders examples, the largest first.
    """

    example_id: str
    texts: tuple[tuple[str, tuple[Piece, ...]], ...]
    gold: str | None
    predicted: str | None
    weight: tuple[float, ...]
    remark: str


@dataclass(frozen=True)
class Mistakes:
    """Examples of a split that are worth a look, best first, with a sentence on how they were chosen.

    `kinds` counts kinds of error: (kind, how often, what it means). `beside` shows gold and predicted as columns of text,
    `shaded` explains the shades of words.
    """

    heading: str
    said: str
    worst: list[Mistake]
    wrong: int | None = None
    kinds: tuple[tuple[str, int, str], ...] = ()
    beside: bool = False
    shaded: bool = False


def shorten(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return a text cut to a readable length, with what is missing counted."""
    left = len(text) - limit
    return text if left <= 0 else f"{text[:limit]}… ({left:,} more characters)"


def plain_texts(row: dict[str, Any], not_input: Sequence[str]) -> tuple[tuple[str, tuple[Piece, ...]], ...]:
    """Return a row's input texts by column, unmarked; lists of words are joined."""
    found = []
    for name, value in row.items():
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            value = " ".join(value)
        if name not in ("split", "id", "gold", *not_input) and isinstance(value, str):
            found.append((name, (Piece(shorten(value)),) if value.strip() else ()))
    return tuple(found)


def mark_text(text: str, marks: Sequence[Mark]) -> tuple[Piece, ...]:
    """Return a text cut at the borders of its marks; where marks overlap, a piece has the styles of all of them.

    Of a long text only the surroundings of the marks are shown. Marks outside the text are left out.
    """
    marks = [mark for mark in marks if 0 <= mark.start < mark.end <= len(text)]
    borders = sorted({border for mark in marks for border in (mark.start, mark.end)})
    pieces: list[Piece] = []
    for number, (start, end) in enumerate(_windows(text, marks)):
        if start > 0:
            pieces.append(Piece(GAP.lstrip() if number == 0 else GAP))
        cuts = [start, *(border for border in borders if start < border < end), end]
        for left, right in pairwise(cuts):
            over = [mark for mark in marks if mark.start <= left and right <= mark.end]
            notes = [mark.note for mark in over if mark.end == right and mark.note]
            pieces.append(Piece(text[left:right], _style(over), "; ".join(sorted(notes, reverse=True))))
    if pieces and _windows(text, marks)[-1][1] < len(text):
        pieces.append(Piece(GAP.rstrip()))
    return tuple(pieces)


def _style(marks: Sequence[Mark]) -> Style:
    words = {word for mark in marks for word in mark.style.split()}
    if words == {"gold", "predicted"}:
        return "gold predicted"
    return "gold" if "gold" in words else "predicted" if "predicted" in words else ""


def _windows(text: str, marks: Sequence[Mark]) -> list[tuple[int, int]]:
    """Return the spans of a text to show: all of a short one, else what lies around the first marks."""
    if len(text) <= SHOWN_CHARACTERS:
        return [(0, len(text))]
    if not marks:
        return [(0, SHOWN_CHARACTERS)]
    windows: list[tuple[int, int]] = []
    for mark in sorted(marks, key=lambda mark: mark.start):
        start = _word_border(text, max(0, mark.start - _AROUND))
        # an absurdly long answer does not fill the page
        end = _word_border(text, min(len(text), min(mark.end, mark.start + SHOWN_CHARACTERS) + _AROUND))
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        elif sum(right - left for left, right in windows) < SHOWN_CHARACTERS:
            windows.append((start, end))
    return windows


def _word_border(text: str, position: int) -> int:
    """Return the nearest position before a space within a word's length, so that no word is cut."""
    space = text.find(" ", position, position + 20)
    return position if position in (0, len(text)) or space < 0 else space
