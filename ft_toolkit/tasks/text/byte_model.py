"""A baseline for language models without a tokenizer: bytes are predicted from the four previous bytes, by counting."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
ORDER = 4
# Maximum number of training bytes, which limits the memory.
LIMIT = 2**25


def negative_log_likelihoods(train: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return the negative log-likelihood of each text in nats, over its UTF-8 bytes, with counts from `train`.

    Orders 0 to 4 are interpolated with Witten-Bell weights (Witten and Bell 1991), down to 1/256 per byte. Four line breaks
    precede each text.
    """
    train_keys, text_keys = _contexts(train, LIMIT), _contexts(texts, None)
    probability = np.full(len(text_keys), 1 / 256)
    for order in range(ORDER + 1):
        keep = np.uint64(2 ** (8 * (order + 1)) - 1)
        keys, counts = np.unique(train_keys & keep, return_counts=True)
        contexts, first = np.unique(keys >> np.uint64(8), return_index=True)
        totals, kinds = np.add.reduceat(counts, first), np.diff(np.append(first, len(keys)))
        count = _look_up(keys, counts, text_keys & keep)
        total = _look_up(contexts, totals, (text_keys & keep) >> np.uint64(8))
        kind = _look_up(contexts, kinds, (text_keys & keep) >> np.uint64(8))
        seen = total > 0
        probability[seen] = (count[seen] + kind[seen] * probability[seen]) / (total[seen] + kind[seen])
    sizes = [len(text.encode()) for text in texts]
    owners = np.repeat(np.arange(len(texts)), sizes)
    return [float(nats) for nats in np.bincount(owners, weights=-np.log(probability), minlength=len(texts))]


def _contexts(texts: Sequence[str], limit: int | None) -> Array:
    """Return one integer per byte of the texts: the byte in the lowest eight bits, the previous bytes in the bits above."""
    before = b"\n" * ORDER
    stream = np.frombuffer(b"".join(before + text.encode() for text in texts)[:limit], np.uint8).astype(np.uint64)
    keys = np.zeros(len(stream), np.uint64)
    for distance in range(min(ORDER + 1, len(stream))):
        keys[distance:] |= stream[: len(stream) - distance] << np.uint64(8 * distance)
    inside = np.ones(len(stream) + ORDER, bool)  # false for the line breaks before each text
    start = 0
    for text in texts:
        inside[start : start + ORDER] = False
        start += ORDER + len(text.encode())
        if start >= len(stream):
            break
    return keys[inside[: len(stream)]]


def _look_up(keys: Array, values: Array, queries: Array) -> Array:
    """Return the value of each query, 0 for a missing key; `keys` are sorted."""
    index = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[index] == queries, values[index], 0).astype(np.float64)
