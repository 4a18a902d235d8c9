"""Tokens before a generated text: padding on the left, and sequences that must not repeat. Numpy only."""

from collections.abc import Sequence

import numpy as np


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids and attention mask, shape (prompts, width), so that all prompts end at the same position."""
    lengths = np.array([len(prompt) for prompt in prompts])
    width = int(lengths.max())
    mask = np.arange(width) >= width - lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(prompt, dtype=np.int64) for prompt in prompts])
    return ids, mask.astype(np.int64)


def repeating_tokens(tokens: Sequence[int], size: int) -> list[int]:
    """Return the tokens that would repeat a sequence of `size` tokens."""
    end = tuple(tokens[len(tokens) - size + 1 :])
    return [tokens[i + size - 1] for i in range(len(tokens) - size + 1) if tuple(tokens[i : i + size - 1]) == end]
