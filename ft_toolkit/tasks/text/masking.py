"""Words of tokens, and the choice of masked tokens for masked language models. No torch.

The words come from the text (`find_words`), not from the pre-tokens of the tokenizer. A pre-token of XLM-R is everything
between two spaces; in Chinese or Thai, this is a sentence.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ft_toolkit.core.words import find_words

# The number of masks that `measured_share` draws. With one draw for each of 40 short rows, its result varied by over 2 points.
_MEASURED_BLOCKS = 1000


def number_words(text: str, offsets: Sequence[Sequence[tuple[int, int]]]) -> list[list[int]]:
    """Return a word number for each token of each window of a text; `offsets` are the offsets of the tokens in characters.

    A token belongs to the first word that it overlaps, so a token with several letters of a script without spaces is a separate
    unit. So is a token without any word, such as white space.
    """
    words = find_words(text)
    owner = [len(words)] * len(text)
    for number, (start, end) in enumerate(words):
        owner[start:end] = [number] * (end - start)
    numbers = []
    for window in offsets:
        first = [min(owner[start:end], default=len(words)) for start, end in window]
        numbers.append([word if word < len(words) else len(words) + i for i, word in enumerate(first)])
    return numbers


def choose_masked(words: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """Return the positions to mask: random whole words, on average with a share of the tokens, at least one token.

    `words[i]` is the word number of token i, -1 for a token that is never masked. The last word often exceeds the share. It is
    masked with a probability that gives the right share on average. If no word is masked, a single token of this word is
    masked. (If such words were never masked, the share would be too small, and short words would be masked too often.)
    """
    positions: dict[int, list[int]] = {}
    for position, word in enumerate(words):
        if word >= 0:
            positions.setdefault(word, []).append(position)
    groups = list(positions.values())
    if not groups:
        return []
    budget = max(1, int(share * sum(map(len, groups)) + rng.random()))
    chosen: list[int] = []
    for index in rng.permutation(len(groups)):
        group, free = groups[index], budget - len(chosen)
        if len(group) > free:
            # without a masked word so far, a single token is masked otherwise: p * size + (1 - p) = budget
            probability = free / len(group) if chosen else (budget - 1) / (len(group) - 1)
            if rng.random() < probability:
                chosen += group
            elif not chosen:
                chosen.append(group[int(rng.integers(len(group)))])
            break
        chosen += group
    return sorted(chosen)


def measured_share(blocks: Sequence[Sequence[int]], share: float) -> float:
    """Return the share of the tokens that `choose_masked` masks on average in the first blocks of word numbers.

    If there are only a few blocks, each is drawn several times.
    """
    rng = np.random.default_rng(0)
    measured = list(blocks[:_MEASURED_BLOCKS]) * max(1, _MEASURED_BLOCKS // max(1, len(blocks)))
    n_tokens = sum(word >= 0 for words in measured for word in words)
    return sum(len(choose_masked(words, share, rng)) for words in measured) / max(n_tokens, 1)


class Masking(Protocol):
    """The facts that masking needs: the mask token, the size of the vocabulary, and the special tokens."""

    @property
    def mask_id(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def special_ids(self) -> Sequence[int]: ...


def mask_tokens(ids: Sequence[int], chosen: Sequence[int], masking: Masking, rng: np.random.Generator) -> list[int]:
    """Return the tokens with the chosen positions replaced: 80% by the mask, 10% by a random ordinary token, 10% kept.

    Devlin et al. 2019, arXiv:1810.04805.
    """
    masked, special = list(ids), set(masking.special_ids)
    for position, draw in zip(chosen, rng.random(len(chosen)), strict=True):
        if draw < 0.8:
            masked[position] = masking.mask_id
        elif draw < 0.9:
            token = int(rng.integers(masking.vocabulary))
            while token in special:
                token = int(rng.integers(masking.vocabulary))
            masked[position] = token
    return masked
