"""Average the outputs of several models for the same rows, in the form that a task's `decode` reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.core.errors import ModelError
from ft_toolkit.tasks.text.tagged_words import WindowWord

# The smallest probability whose logarithm is taken; probabilities in predictions have six digits.
_SMALLEST = 1e-30

Distributions = list[list[tuple[int, int, np.ndarray | None]]]


def mean_logits(probabilities: Sequence[np.ndarray], *, multi_label: bool) -> np.ndarray:
    """Return the logits of the mean of probabilities, which each have the shape (n, labels)."""
    mean = np.clip(np.mean(np.asarray(probabilities, np.float64), axis=0), _SMALLEST, 1.0)
    others = np.clip(1 - mean, _SMALLEST, 1.0) if multi_label else np.ones_like(mean)
    return np.asarray(np.log(mean) - np.log(others))


def words_of_rows(
    values: Sequence[np.ndarray], example_ids: Sequence[int], notes: Sequence[Sequence[WindowWord]], n_rows: int
) -> Distributions:
    """Return the words of each row as (start, end, probabilities of its tags); None for a word without a token.

    `values[i]` has the probabilities of each token of window i, shape (tokens, tags), and `notes[i]` its words.
    """
    words: Distributions = [[] for _ in range(n_rows)]
    for value, number, note in zip(values, example_ids, notes, strict=True):
        words[number] += [(start, end, None if token is None else value[token]) for start, end, token in note]
    return words


def mean_of_words(members: Sequence[Distributions]) -> Distributions:
    """Return the words with the mean of the members' probabilities. A word without a token in any member has None.

    Raises ModelError if the members divide a text into different words.
    """
    averaged: Distributions = []
    for row in zip(*members, strict=True):
        spans = [[word[:2] for word in words] for words in row]
        if any(each != spans[0] for each in spans[1:]):
            raise ModelError(
                "the models divide a text into different words, because their tokenizers differ; only models with the same "
                "tokenizer can be averaged here"
            )
        averaged.append([_mean_word(words) for words in zip(*row, strict=True)])
    return averaged


def _mean_word(words: Sequence[tuple[int, int, np.ndarray | None]]) -> tuple[int, int, np.ndarray | None]:
    start, end, _ = words[0]
    distributions = [distribution for *_, distribution in words if distribution is not None]
    return start, end, np.mean(distributions, axis=0) if len(distributions) == len(words) else None


def mean_of_windows(values: Sequence[Sequence[np.ndarray]], inputs: Sequence[Any]) -> list[np.ndarray]:
    """Return the mean of the members' logits per window. Raises ModelError if the members read different windows."""
    if any(each != inputs[0] for each in inputs[1:]):
        raise ModelError(
            "the models read the texts in different windows, because their tokenizers or data.max_length differ; only models "
            "with equal windows can be averaged here"
        )
    return [np.mean(window, axis=0) for window in zip(*values, strict=True)]
