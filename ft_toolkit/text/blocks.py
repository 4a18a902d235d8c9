"""Which tokens a language model reads together, and which are masked: pure functions, no torch.

    row 0: A B C        [s] A B C [e]                one piece per row; s opens a text, e closes it
    row 1: D E F G H    [s] D E F G | G H [e]        a piece that is too long is cut; the next begins with its last token
    packed, 8 tokens:   [s] A B C [e] ...            pieces follow one another as long as they fit

In each piece every token but the first is predicted from those before it, so all together each token is predicted once.
"""

from collections.abc import Sequence

import numpy as np


def cut(length: int, size: int) -> list[tuple[int, int]]:
    """Return (start, end) of pieces of at most `size` tokens, each beginning with the last token of the one before."""
    pieces, start = [], 0
    while True:
        end = min(start + size, length)
        pieces.append((start, end))
        if end == length:
            return pieces
        start = end - 1


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return groups of consecutive indices whose lengths add up to at most `size`; a longer one stands alone."""
    groups: list[list[int]] = []
    total = 0
    for index, length in enumerate(lengths):
        if not groups or total + length > size:
            groups.append([])
            total = 0
        groups[-1].append(index)
        total += length
    return groups


def choose_masked(words: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """Return the positions to mask: whole words, at random, until a share of the tokens is reached; at least one word.

    `words[i]` is the number of token i's word, -1 for a token that is never masked. A word that would exceed the share is
    passed over, as in BERT's own data.
    """
    positions: dict[int, list[int]] = {}
    for position, word in enumerate(words):
        if word >= 0:
            positions.setdefault(word, []).append(position)
    wanted = max(1, round(share * sum(map(len, positions.values()))))
    chosen: list[int] = []
    groups = list(positions.values())
    for index in rng.permutation(len(groups)):
        if not chosen or len(chosen) + len(groups[index]) <= wanted:
            chosen += groups[index]
    return sorted(chosen)


def mask_tokens(
    ids: Sequence[int],
    chosen: Sequence[int],
    mask_id: int,
    vocabulary: int,
    special_ids: Sequence[int],
    rng: np.random.Generator,
) -> list[int]:
    """Return the tokens with the chosen ones replaced: 80% by the mask, 10% by any ordinary token, 10% kept.

    Devlin et al. 2019, arXiv:1810.04805.
    """
    masked, special = list(ids), set(special_ids)
    for position, draw in zip(chosen, rng.random(len(chosen)), strict=True):
        if draw < 0.8:
            masked[position] = mask_id
        elif draw < 0.9:
            token = int(rng.integers(vocabulary))
            while token in special:
                token = int(rng.integers(vocabulary))
            masked[position] = token
    return masked
