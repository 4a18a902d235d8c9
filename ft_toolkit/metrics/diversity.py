"""Variety and repetition of generated texts, in sums per example.

- distinct-n (Li et al. 2016, arXiv:1510.03055): different n-grams of all texts, divided by all their n-grams. An n-gram that
  occurs c times gives each of its occurrences 1/c, so the sums of the examples add up to the published score.
- repetition (Welleck et al. 2020, arXiv:1908.04319): the share of the four-grams of a text that occur earlier in it.
- self-BLEU (Zhu et al. 2018, arXiv:1802.01886): BLEU of a text with all other texts as references, mean over the texts, from 0
  to 100; high values mean texts that are like each other.

Words are those of `core.words`, in lower case. Punctuation marks are words.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ft_toolkit.core.words import find_words

Array = np.ndarray
MetricFn = Callable[[Array, Array], float]
# Columns of `statistics`: for n = 1 and 2, the sum of 1/c and the number of n-grams; repeated and all four-grams; the sum of
# self-BLEU and the number of texts with one; words; texts.
N_COLUMNS = 10
_REPEATED, _SELF_BLEU, _WORDS, _TEXTS = 4, 6, 8, 9
_REPEATED_SIZE, _BLEU_SIZE = 4, 4


def statistics(texts: Sequence[Sequence[str]]) -> Array:
    """Return the sums of each example, shape (examples, 10). An example has several texts; without texts, its sums are 0."""
    words = [[_words(text) for text in example] for example in texts]
    flat = [text for example in words for text in example]
    totals = {size: Counter(gram for text in flat for gram in _grams(text, size)) for size in (1, 2)}
    self_bleu = iter(_self_bleu(flat))
    rows = []
    for example in words:
        row = [0.0] * N_COLUMNS
        for text in example:
            for size, counts in totals.items():
                grams = _grams(text, size)
                row[2 * size - 2] += sum(1 / counts[gram] for gram in grams)
                row[2 * size - 1] += len(grams)
            grams = _grams(text, _REPEATED_SIZE)
            row[_REPEATED] += len(grams) - len(set(grams))
            row[_REPEATED + 1] += len(grams)
            score = next(self_bleu)
            row[_SELF_BLEU] += 0.0 if score is None else score
            row[_SELF_BLEU + 1] += score is not None
            row[_WORDS] += len(text)
            row[_TEXTS] += 1
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, N_COLUMNS)


def perfect(statistics: Array) -> Array:
    """Return the sums with the best value of every score: all n-grams different, nothing repeated, self-BLEU 0."""
    best = statistics.copy()
    best[:, [0, 2]] = statistics[:, [1, 3]]
    best[:, [_REPEATED, _SELF_BLEU]] = 0
    return best


def distinct(size: int) -> MetricFn:
    """Return the metric distinct-n for n = 1 or 2."""
    return _ratio(2 * size - 2)


def repetition(predictions: Array, references: Array) -> float:
    """Return the share of repeated four-grams within the texts."""
    return _ratio(_REPEATED)(predictions, references)


def self_bleu(predictions: Array, references: Array) -> float:
    """Return the mean self-BLEU of the texts, from 0 to 100."""
    return _ratio(_SELF_BLEU)(predictions, references)


def mean_words(statistics: Array) -> float:
    """Return the mean number of words of a text."""
    texts = statistics[:, _TEXTS].sum()
    return float(statistics[:, _WORDS].sum() / texts) if texts else float("nan")


def _ratio(column: int) -> MetricFn:
    def metric(predictions: Array, references: Array) -> float:
        total, count = predictions[:, column].sum(), predictions[:, column + 1].sum()
        return float(total / count) if count else float("nan")

    return metric


def _words(text: str) -> list[str]:
    lowered = text.lower()
    return [lowered[start:end] for start, end in find_words(lowered)]


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def _self_bleu(texts: Sequence[Sequence[str]]) -> list[float | None]:
    """Return the BLEU of each text against all others; None for an empty text and for a single text.

    The most frequent and second most frequent count of an n-gram over the texts are enough: the clipped count of a text is
    limited by the largest count of any other text. The time is linear in the number of words.
    """
    from sacrebleu.metrics import BLEU

    lengths = sorted(len(text) for text in texts)
    counts = [[Counter(_grams(text, size)) for size in range(1, _BLEU_SIZE + 1)] for text in texts]
    largest: list[dict[tuple[str, ...], tuple[int, int]]] = [{} for _ in range(_BLEU_SIZE)]
    for text in counts:
        for by_size, best in zip(text, largest, strict=True):
            for gram, count in by_size.items():
                first, second = best.get(gram, (0, 0))
                best[gram] = (count, first) if count > first else (first, max(second, count))
    scores: list[float | None] = []
    for words, text in zip(texts, counts, strict=True):
        if not words or len(texts) < 2:
            scores.append(None)
            continue
        matches = [
            sum(min(count, best[gram][1] if best[gram][0] == count else best[gram][0]) for gram, count in grams.items())
            for grams, best in zip(text, largest, strict=True)
        ]
        totals = [grams.total() for grams in text]
        reference = _closest(lengths, len(words))
        bleu = BLEU.compute_bleu(matches, totals, len(words), reference, smooth_method="exp", effective_order=True)
        scores.append(float(bleu.score))
    return scores


def _closest(lengths: Sequence[int], length: int) -> int:
    """Return the length of another text that is closest to `length`, the shorter of two; `lengths` is sorted."""
    at = int(np.searchsorted(lengths, length))
    others = [*lengths[max(at - 1, 0) : at], *lengths[at + 1 : at + 2]]
    return min(others, key=lambda other: (abs(other - length), other))
