"""Changes of words for augmentation: delete words, swap them, or replace them by synonyms. A change is a list of edits.

A word consists of letters and digits, with apostrophes and hyphens inside. Words that share a character with a `protected` span
are not changed. In scripts without spaces between words, no words are changed.
"""

import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from ft_toolkit.data.augment.perturb import with_case_of
from ft_toolkit.tasks.text.edits import Edit, touches

Spans = Sequence[tuple[int, int]]
# A word in lower case -> its synonyms, in a fixed order; empty for none.
Synonyms = Callable[[str], Sequence[str]]
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SPACE = re.compile(r"\s*")


def free_words(text: str, protected: Spans) -> list[re.Match[str]]:
    """Return the words outside the protected spans."""
    return [word for word in _WORD.finditer(text) if not touches(*word.span(), protected)]


def delete_words(text: str, protected: Spans, share: float, rng: random.Random) -> list[Edit]:
    """Delete a share of the words that have spaces around them, each with one space. At least one word is kept."""
    words = free_words(text, protected)
    edits: list[Edit] = []
    n_left = len(_WORD.findall(text))
    for word in words:
        if rng.random() >= share or n_left == 1:
            continue
        start, end = word.span()
        after = _SPACE.match(text, end)
        space_end = end if after is None else after.end()
        is_apart = (not start or text[start - 1].isspace()) and (end == len(text) or space_end > end)
        if not is_apart:
            continue
        if space_end == len(text):  # the last words are deleted with the space before them
            while edits and edits[-1][1] == start:
                start = edits.pop()[0]
            start = len(text[:start].rstrip())
        edits.append((start, space_end, ""))
        n_left -= 1
    return edits


def swap_words(text: str, protected: Spans, share: float, rng: random.Random) -> list[Edit]:
    """Swap a share of the words with the next word, if only space is between the two. A word moves at most once."""
    words = free_words(text, protected)
    edits: list[Edit] = []
    is_free = True
    for word, following in pairwise(words):
        between = text[word.end() : following.start()]
        if not is_free:
            is_free = True
        elif rng.random() < share and between and between.isspace() and word.group() != following.group():
            edits += [(*word.span(), following.group()), (*following.span(), word.group())]
            is_free = False
    return edits


def replace_words(text: str, protected: Spans, share: float, rng: random.Random, synonyms: Synonyms) -> list[Edit]:
    """Replace a share of the words by a synonym, with the case of the word. Words without a synonym are kept."""
    edits: list[Edit] = []
    for word in free_words(text, protected):
        if rng.random() < share and (others := synonyms(word.group().lower())):
            edits.append((*word.span(), with_case_of(word.group(), rng.choice(list(others)))))
    return edits
