"""Texts that are longer than the model reads: overlapping windows of their tokens. Pure functions of numbers."""

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def content_span(special_tokens_mask: Sequence[int]) -> Span:
    """Return where the tokens of the text itself begin and end between the special ones that frame them ([CLS], [SEP])."""
    n = len(special_tokens_mask)
    start = next((i for i in range(n) if not special_tokens_mask[i]), n)
    stop = next((i for i in range(n, start, -1) if not special_tokens_mask[i - 1]), start)
    return start, stop


def windows(n_tokens: int, size: int, overlap: int) -> list[Span]:
    """Return (start, stop) of windows of at most `size` tokens that together hold all `n_tokens`.

    Neighbours share `overlap` tokens, at most half a window. No tokens give one empty window.
    """
    step = size - min(overlap, size // 2)
    found = [(0, min(size, n_tokens))]
    while found[-1][1] < n_tokens:
        start = found[-1][0] + step
        found.append((start, min(start + size, n_tokens)))
    return found


def best_windows(n_tokens: int, spans: Sequence[Span]) -> np.ndarray:
    """Return, per token, the window in which the shorter of its two sides is longest; ties go to the earlier window.

    Shape (n_tokens,).
    """
    best = np.zeros(n_tokens, np.int64)
    context = np.full(n_tokens, -1)
    for number, (start, stop) in enumerate(spans):
        inside = np.arange(stop - start)
        here = np.minimum(inside, inside[::-1])
        better = here > context[start:stop]
        best[start:stop][better] = number
        context[start:stop][better] = here[better]
    return best
