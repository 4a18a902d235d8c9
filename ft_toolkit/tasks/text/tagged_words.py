"""Words of long texts as windows of tokens, with one tag per word.

    text      Ada met Bob Smith          tokens of a word: the first one carries the tag (for decoders the last one)
    words     Ada | met | Bob | Smith
    tokens    A ##da met Bob Smi ##th
    targets   B  -   O   B   I   -       "-" is IGNORED

Each word is tagged in one window only, the window with the most context around it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ft_toolkit.tasks.base import Row
from ft_toolkit.tasks.text.entities import entity_spans, words_of
from ft_toolkit.tasks.text.token_targets import IGNORED
from ft_toolkit.tasks.text.windows import Span, best_windows, windows
from ft_toolkit.tasks.text.words import Unit, align, cut_words

# Start and end of a word in the text, and its tagged token in the window, None for a word without a token.
WindowWord = tuple[int, int, int | None]


@dataclass(frozen=True)
class Tagging:
    """How words are tagged: the labels in order, the tagged token of a word, and the overlap of windows in tokens."""

    labels: Sequence[str]
    tagged_token: Literal["first", "last"]
    stride: int


@dataclass(frozen=True)
class TaggedWindow:
    """A window of the tokens of a text. `words` are the words that are tagged in it; `targets` has a tag index per token."""

    span: Span
    words: list[WindowWord]
    targets: list[int]


@dataclass(frozen=True)
class TaggedText:
    """The windows of a text, and the number of entities that no sequence of tags can represent."""

    windows: list[TaggedWindow]
    n_unreachable: int


def tag_text(row: Row, offsets: Sequence[Span], size: int, tagging: Tagging) -> TaggedText:
    """Return the tagged windows of a row.

    `offsets` has the characters of each token, without special tokens; `size` is the number of tokens of a window. Without
    entities, all targets are IGNORED. For training, words are also cut where an entity starts or ends inside one, so that both
    parts are learned.
    """
    words = words_of(row)
    units = align(words, offsets, last=tagging.tagged_token == "last")
    is_labelled = "entities" in row
    targets = _targets(row, words, offsets, tagging) if is_labelled else np.full(len(offsets), IGNORED)
    spans = windows(len(offsets), size, tagging.stride)
    window_of_token = best_windows(len(offsets), spans)
    window_words = _words_by_window(units, spans, window_of_token)
    tagged = [
        TaggedWindow(
            (start, end),
            window_words[number],
            np.where(window_of_token[start:end] == number, targets[start:end], IGNORED).tolist(),
        )
        for number, (start, end) in enumerate(spans)
    ]
    return TaggedText(tagged, _n_unreachable(row["entities"], units) if is_labelled else 0)


def _targets(row: Row, words: Sequence[Span], offsets: Sequence[Span], tagging: Tagging) -> np.ndarray:
    """Return the tag index of each token, IGNORED for tokens that carry no tag."""
    entities = row["entities"]
    boundaries = [entity[side] for entity in entities for side in ("start", "end")]
    pieces = list(cut_words(words, boundaries))
    tags = dict.fromkeys(pieces, 0)
    piece = 0
    for entity in entities:
        tag = 1 + 2 * tagging.labels.index(entity["label"])
        while piece < len(pieces) and pieces[piece][0] < entity["start"]:
            piece += 1
        while piece < len(pieces) and pieces[piece][0] < entity["end"]:
            tags[pieces[piece]] = tag
            tag += tag % 2  # tags of B are odd, followed by the tag of I
            piece += 1
    targets = np.full(len(offsets), IGNORED)
    tag_by_start = {start: tag for (start, _), tag in tags.items()}
    for unit in align(pieces, offsets, last=tagging.tagged_token == "last"):
        if unit.token is not None:
            targets[unit.token] = tag_by_start[unit.start]
    return targets


def _n_unreachable(entities: Sequence[Mapping[str, Any]], units: Sequence[Unit]) -> int:
    """Return the number of entities with a boundary inside a unit or with a word that has no token."""
    starts, ends = {unit.start for unit in units}, {unit.end for unit in units}
    without_token = sorted(unit.start for unit in units if unit.token is None)
    return sum(
        start not in starts
        or end not in ends
        or bisect_left(without_token, start) < bisect_left(without_token, max(end, start + 1))
        for start, end, _ in entity_spans(entities)
    )


def _words_by_window(
    units: Sequence[Unit], spans: Sequence[Span], window_of_token: np.ndarray
) -> list[list[WindowWord]]:
    """Return the words of each window. A word without a token is in the window of the word before it."""
    words: list[list[WindowWord]] = [[] for _ in spans]
    number = 0
    for unit in units:
        token = None
        if unit.token is not None:
            number = int(window_of_token[unit.token])
            token = unit.token - spans[number][0]
        words[number].append((unit.start, unit.end, token))
    return words
