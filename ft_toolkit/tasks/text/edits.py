"""Edits of a text, and positions before and after them."""

from collections.abc import Mapping, Sequence

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


def moved(position: int, edits: Sequence[Edit]) -> int | None:
    """Return the position between two characters after the edits, None when it is inside an edit."""
    shift = 0
    for start, end, replacement in edits:
        if start < position < end:
            return None
        if end <= position:
            shift += len(replacement) - (end - start)
    return position + shift
