"""Words of a text as character spans, and the tokens that stand for them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ft_toolkit.tasks.text.windows import Span

# Scripts that put no space between words: each letter is a word of its own, as BERT's tokenizer has it for Chinese. Thai,
# Lao, Tibetan, Myanmar, Khmer; kana and CJK ideographs with their compatibility forms and extensions.
_NO_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_JOINERS = "\u200c\u200d"


def find_words(text: str) -> list[Span]:
    """Return the words of a raw text, as (start, end) in characters.

    A word is a run of letters, digits and underscores, or one other visible character (punctuation, a symbol, an emoji, a
    letter of a script without spaces). Combining marks and joiners stay with the character before them. White space and
    control characters belong to no word.
    """
    words: list[Span] = []
    run = False  # whether the word before goes on with a letter
    for i, letter in enumerate(text):
        category = unicodedata.category(letter)
        touches = bool(words) and words[-1][1] == i
        if touches and (category[0] == "M" or letter in _JOINERS):
            words[-1] = (words[-1][0], i + 1)
        elif category[0] in "ZC" and category not in ("Co", "Cn"):
            run = False
        elif (category[0] in "LN" or letter == "_") and not _NO_SPACES.match(letter):
            if run and touches:
                words[-1] = (words[-1][0], i + 1)
            else:
                words.append((i, i + 1))
            run = True
        else:
            words.append((i, i + 1))
            run = False
    return words


def place_words(words: Sequence[str], text: str) -> list[Span] | None:
    """Return where given words stand in `text`, in order, as (start, end); None where one cannot be found."""
    placed: list[Span] = []
    at = 0
    joined = text == " ".join(words)
    for word in words:
        start = at if joined else text.find(word, at)
        if start < 0:
            return None
        placed.append((start, start + len(word)))
        at = start + len(word) + joined
    return placed


def cut_words(words: Iterable[Span], borders: Iterable[int]) -> Iterator[Span]:
    """Yield the words, cut at each of `borders` that lies inside one."""
    inner = sorted(set(borders))
    for start, end in words:
        places = [start, *(border for border in inner if start < border < end), end]
        yield from pairwise(places)


@dataclass(frozen=True)
class Unit:
    """What can get one label: a word, or neighbouring words that share their token.

    `token` is the index of the token that carries the label, None where the tokenizer has no token for the word.
    """

    start: int
    end: int
    token: int | None


def align(words: Iterable[Span], offsets: Sequence[Span], *, last: bool) -> list[Unit]:
    """Return the words with the first (or `last`) token that overlaps each; words of one and the same token are joined.

    `offsets` are the tokens' (start, end) in characters, ascending; they may take in a space before the word.
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
