"""Which tokens a language model reads together, and which are masked: pure functions, no torch.

    row 0: A B C        [s] A B C [e]                one piece per row; s opens a text, e closes it
    row 1: D E F G H    [s] D E F G | G H [e]        a piece that is too long is cut; the next begins with its last token
    packed, 8 tokens:   [s] A B C [e] ...            pieces follow one another as long as they fit

In each piece every token but the first is predicted from those before it, so all together each token is predicted once.
"""

import itertools
from collections.abc import Sequence

import numpy as np

# A row and the places in a block, from the first up to but without the last, of its tokens that are predicted.
Span = tuple[int, int, int]


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


def apart(
    rows: Sequence[list[int]], start_id: int, end_id: int, size: int, *, packed: bool
) -> tuple[dict[str, list[list[int]]], list[list[Span]]]:
    """Return model inputs, a block each, and the spans of each block: every row is a text of its own.

    With `packed`, several pieces share a block of at most `size` tokens, and each counts its positions from 0.
    """
    pieces: list[tuple[int, list[int]]] = []
    for row, ids in enumerate(rows):
        whole = [start_id, *ids, end_id]
        pieces += [(row, whole[start:end]) for start, end in cut(len(whole), size)]
    lengths = [len(ids) for _, ids in pieces]
    groups = pack(lengths, size) if packed else [[index] for index in range(len(pieces))]
    inputs: dict[str, list[list[int]]] = {"input_ids": [], **({"position_ids": []} if packed else {})}
    spans: list[list[Span]] = []
    for group in groups:
        block: list[int] = []
        own: list[Span] = []
        for row, ids in (pieces[index] for index in group):
            own.append((row, len(block) + 1, len(block) + len(ids)))
            block += ids
        inputs["input_ids"].append(block)
        if packed:
            inputs["position_ids"].append([place for index in group for place in range(lengths[index])])
        spans.append(own)
    return inputs, spans


def joined(rows: Sequence[list[int]], start_id: int, size: int) -> tuple[dict[str, list[list[int]]], list[list[Span]]]:
    """Return model inputs, a block each, and the spans of each block: all rows are one text."""
    stream = [start_id]
    owners = [-1]
    for row, ids in enumerate(rows):
        stream += ids
        owners += [row] * len(ids)
    if len(stream) == 1:  # nothing to predict: one block, so that there is something to run
        return {"input_ids": [stream]}, [[(0, 1, 1)]]
    pieces = cut(len(stream), size)
    spans: list[list[Span]] = []
    for start, end in pieces:
        own = np.array(owners[start + 1 : end])
        edges = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]
        spans.append([(int(own[a]), a + 1, b + 1) for a, b in itertools.pairwise(edges)])
    return {"input_ids": [stream[start:end] for start, end in pieces]}, spans


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
