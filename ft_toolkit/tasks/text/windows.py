"""Overlapping windows of tokens, for texts that are longer than the model's input."""

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def content_span(special_tokens_mask: Sequence[int]) -> Span:
    """Return start and end of the tokens of the text itself, without the special tokens around them ([CLS], [SEP])."""
    n = len(special_tokens_mask)
    start = next((i for i in range(n) if not special_tokens_mask[i]), n)
    stop = next((i for i in range(n, start, -1) if not special_tokens_mask[i - 1]), start)
    return start, stop


def windows(n_tokens: int, size: int, overlap: int) -> list[Span]:
    """Return (start, stop) of windows of at most `size` tokens that cover all `n_tokens`.

    Neighbouring windows share `overlap` tokens, at most half a window. An empty text has one empty window.
    """
    step = size - min(overlap, size // 2)
    spans = [(0, min(size, n_tokens))]
    while spans[-1][1] < n_tokens:
        start = spans[-1][0] + step
        spans.append((start, min(start + size, n_tokens)))
    return spans


def cut_window(ids: Sequence[int], content: Span, window: Span) -> list[int]:
    """Return the tokens of a window of the content, with the special tokens around the content."""
    start, stop = content
    return [*ids[:start], *ids[start + window[0] : start + window[1]], *ids[stop:]]


def best_windows(n_tokens: int, spans: Sequence[Span]) -> np.ndarray:
    """Return, per token, the window with the most context on its shorter side, shape (n_tokens,); the first of equal ones."""
    best = np.zeros(n_tokens, np.int64)
    context = np.full(n_tokens, -1)
    for number, (start, stop) in enumerate(spans):
        inside = np.arange(stop - start)
        window_context = np.minimum(inside, inside[::-1])
        better = window_context > context[start:stop]
        best[start:stop][better] = number
        context[start:stop][better] = window_context[better]
    return best
