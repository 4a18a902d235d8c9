"""Blocks of tokens for causal language models. No torch.

    row 0: A B C        [s] A B C [e]                one piece per row, between a start token and an end token
    row 1: D E F G H    [s] D E F G | G H [e]        a long row is cut; the next piece starts with the last token before the cut
    packed, 8 tokens:   [s] A B C [e] ...            pieces share a block as long as they fit

Every token of a piece except the first is predicted from those before it, so each token of a row is predicted once.
"""

import itertools
from collections.abc import Sequence

import numpy as np

# A row number, and start and end of its predicted tokens in a block (end exclusive).
Span = tuple[int, int, int]


def cut(length: int, size: int) -> list[tuple[int, int]]:
    """Return (start, end) of pieces of at most `size` tokens, each starting with the last token of the previous one."""
    pieces, start = [], 0
    while True:
        end = min(start + size, length)
        pieces.append((start, end))
        if end == length:
            return pieces
        start = end - 1


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return groups of consecutive indices whose lengths add up to at most `size`; a longer piece has its own group."""
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
    rows: Sequence[list[int]],
    start_id: int,
    end_id: int,
    size: int,
    *,
    packed: bool,
    n_given: Sequence[int] | None = None,
) -> tuple[dict[str, list[list[int]]], list[list[Span]]]:
    """Return the model inputs and the spans of each block; every row is a separate text.

    With `packed`, several pieces share a block of at most `size` tokens, and the position ids of each piece start at 0.
    The first `n_given[row]` tokens of a row are given, such as a prompt, and are not predicted.
    """
    pieces: list[tuple[int, int, list[int]]] = []
    for row, ids in enumerate(rows):
        text, given = [start_id, *ids, end_id], 0 if n_given is None else n_given[row]
        pieces += [(row, max(given - start, 0), text[start:end]) for start, end in cut(len(text), size)]
    lengths = [len(ids) for *_, ids in pieces]
    groups = pack(lengths, size) if packed else [[index] for index in range(len(pieces))]
    inputs: dict[str, list[list[int]]] = {"input_ids": [], **({"position_ids": []} if packed else {})}
    spans: list[list[Span]] = []
    for group in groups:
        block: list[int] = []
        block_spans: list[Span] = []
        for row, given, ids in (pieces[index] for index in group):
            block_spans.append((row, len(block) + min(given + 1, len(ids)), len(block) + len(ids)))
            block += ids
        inputs["input_ids"].append(block)
        if packed:
            inputs["position_ids"].append([position for index in group for position in range(lengths[index])])
        spans.append(block_spans)
    return inputs, spans


def joined(rows: Sequence[list[int]], start_id: int, size: int) -> tuple[dict[str, list[list[int]]], list[list[Span]]]:
    """Return the model inputs and the spans of each block; all rows are one text."""
    stream = [start_id]
    owners = [-1]
    for row, ids in enumerate(rows):
        stream += ids
        owners += [row] * len(ids)
    if len(stream) == 1:  # no tokens to predict: one block, so that the model has an input
        return {"input_ids": [stream]}, [[(0, 1, 1)]]
    pieces = cut(len(stream), size)
    spans: list[list[Span]] = []
    for start, end in pieces:
        rows_of_block = np.array(owners[start + 1 : end])
        edges = [0, *(np.flatnonzero(np.diff(rows_of_block)) + 1).tolist(), len(rows_of_block)]
        spans.append([(int(rows_of_block[a]), a + 1, b + 1) for a, b in itertools.pairwise(edges)])
    return {"input_ids": [stream[start:end] for start, end in pieces]}, spans
