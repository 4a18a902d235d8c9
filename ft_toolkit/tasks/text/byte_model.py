"""A baseline for language models that needs no tokenizer: bytes predicted from the four before them, by counting."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
ORDER = 4
# Bytes of training text that are counted; the rest is left out, for the sake of memory.
LIMIT = 2**25


def negative_log_likelihoods(train: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return each text's negative log likelihood in nats, over its UTF-8 bytes, under a model counted on `train`.

    Orders 0 to 4 are interpolated with Witten-Bell weights (Witten and Bell 1991), down to 1/256 for each byte. The first
    bytes of a text see line breaks before them.
    """
    learned, asked = _contexts(train, LIMIT), _contexts(texts, None)
    probability = np.full(len(asked), 1 / 256)
    for order in range(ORDER + 1):
        keep = np.uint64(2 ** (8 * (order + 1)) - 1)
        known, counts = np.unique(learned & keep, return_counts=True)
        contexts, first = np.unique(known >> np.uint64(8), return_index=True)
        totals, kinds = np.add.reduceat(counts, first), np.diff(np.append(first, len(known)))
        count = _look_up(known, counts, asked & keep)
        total = _look_up(contexts, totals, (asked & keep) >> np.uint64(8))
        kind = _look_up(contexts, kinds, (asked & keep) >> np.uint64(8))
        seen = total > 0
        probability[seen] = (count[seen] + kind[seen] * probability[seen]) / (total[seen] + kind[seen])
    sizes = [len(text.encode()) for text in texts]
    owners = np.repeat(np.arange(len(texts)), sizes)
    return [float(nats) for nats in np.bincount(owners, weights=-np.log(probability), minlength=len(texts))]


def _contexts(texts: Sequence[str], limit: int | None) -> Array:
    """Return one number per byte of the texts: the byte in the lowest eight bits, those before it above."""
    before = b"\n" * ORDER
    stream = np.frombuffer(b"".join(before + text.encode() for text in texts)[:limit], np.uint8).astype(np.uint64)
    keys = np.zeros(len(stream), np.uint64)
    for distance in range(min(ORDER + 1, len(stream))):
        keys[distance:] |= stream[: len(stream) - distance] << np.uint64(8 * distance)
    inside = np.ones(len(stream) + ORDER, bool)  # whether a byte is a text's own
    start = 0
    for text in texts:
        inside[start : start + ORDER] = False
        start += ORDER + len(text.encode())
        if start >= len(stream):
            break
    return keys[inside[: len(stream)]]


def _look_up(keys: Array, values: Array, wanted: Array) -> Array:
    """Return the value of each wanted key, 0 for a key that is not there; `keys` are sorted."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0).astype(np.float64)
