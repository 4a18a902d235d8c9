"""Words as character spans, and the tokens that represent them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ft_toolkit.tasks.text.windows import Span


def place_words(words: Sequence[str], text: str) -> list[Span] | None:
    """Return the positions of the given words in `text`, in order, as (start, end); None if a word is not found."""
    spans: list[Span] = []
    position = 0
    is_joined = text == " ".join(words)
    for word in words:
        start = position if is_joined else text.find(word, position)
        if start < 0:
            return None
        spans.append((start, start + len(word)))
        position = start + len(word) + is_joined
    return spans


def cut_words(words: Iterable[Span], boundaries: Iterable[int]) -> Iterator[Span]:
    """Yield the words, cut at each boundary that is inside a word."""
    sorted_boundaries = sorted(set(boundaries))
    for start, end in words:
        inside = sorted_boundaries[bisect_right(sorted_boundaries, start) : bisect_left(sorted_boundaries, end)]
        yield from pairwise([start, *inside, end])


def words_inside(words: Sequence[Span], spans: Iterable[Span]) -> list[range]:
    """Return, for each span, the numbers of the words that it contains completely. `words` are in order of the text."""
    starts, ends = [start for start, _ in words], [end for _, end in words]
    return [range(bisect_left(starts, start), bisect_right(ends, end)) for start, end in spans]


def spans_that_cut(text: str, spans: Iterable[Span], words: Callable[[], Sequence[Span]]) -> list[str]:
    """Return the texts of the spans that begin or end inside a word of `text`.

    `words` returns the words in order. It is called only if a span has a letter or digit on both sides of an end.
    """
    touching = [
        span for span in spans if any(text[at - 1 : at].isalnum() and text[at : at + 1].isalnum() for at in span)
    ]
    if not touching:
        return []
    all_words = words()
    starts, ends = [start for start, _ in all_words], [end for _, end in all_words]
    return [
        text[start:end]
        for start, end in touching
        if any(bisect_right(ends, at) < bisect_left(starts, at) for at in (start, end))
    ]


@dataclass(frozen=True)
class Unit:
    """A unit that gets one label: a word, or neighbouring words that share their token.

    `token` is the index of the token that carries the label, None when the tokenizer has no token for the word.
    """

    start: int
    end: int
    token: int | None


def align(words: Iterable[Span], offsets: Sequence[Span], *, last: bool) -> list[Unit]:
    """Return each word with the first (or `last`) token that overlaps it; words with the same token are joined.

    `offsets` has (start, end) of each token in characters, ascending; a token may include the space before its word.
    """
    units: list[Unit] = []
    begin, n = 0, len(offsets)
    for start, end in words:
        while begin < n and offsets[begin][1] <= start:
            begin += 1
        token = None
        for i in range(begin, n):
            if offsets[i][0] >= end:
                break
            if max(offsets[i][0], start) < min(offsets[i][1], end):
                token = i
                if not last:
                    break
        if token is not None and units and units[-1].token == token:
            units[-1] = Unit(units[-1].start, end, token)
        else:
            units.append(Unit(start, end, token))
    return units
