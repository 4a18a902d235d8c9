"""Edits of a text, and positions before and after them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

# Start and end in the old text, and the replacement of the characters between. The edits of a text are in ascending order
# and do not overlap.
Edit = tuple[int, int, str]
# The edits of each changed column of a row.
EditsByColumn = Mapping[str, Sequence[Edit]]


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with all edits applied."""
    parts, position = [], 0
    for start, end, replacement in edits:
        parts += [text[position:start], replacement]
        position = end
    return "".join([*parts, text[position:]])


class Moves:
    """Positions between two characters after the edits of a text. Each look-up takes logarithmic time."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._starts = [start for start, _, _ in edits]
        self._ends = [end for _, end, _ in edits]
        self._shifts = [0, *accumulate(len(replacement) - (end - start) for start, end, replacement in edits)]

    def __call__(self, position: int) -> int | None:
        """Return the position after the edits, None when it is inside an edit."""
        n_before = bisect_right(self._ends, position)
        if n_before < len(self._starts) and self._starts[n_before] < position:
            return None
        return position + self._shifts[n_before]


def touches(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Return whether a part of the text shares a character with one of the spans."""
    return any(start < span_end and span_start < end for span_start, span_end in spans)
