"""Choose the tokens of generated texts from logits: greedy search, beam search and sampling. Numpy only.

The results are equal to the results of transformers' `generate` and, for sampling, of `tasks/text/decoding.py`, which draws
with the same random numbers. A search is advanced step by step: it gets the logits of the rows of the last step, and returns
the rows that continue and their next tokens.
"""

import random
from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol

import numpy as np

from ft_toolkit.core.export_records import ExportedGeneration
from ft_toolkit.tasks.text.continuations import EndTest
from ft_toolkit.tasks.text.search import OpenBeams, OpenTexts, SearchSettings, restrict


class Search(Protocol):
    """The search for the texts of one batch."""

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choose the next tokens.

        `logits` has the shape (rows, vocabulary). Returns the rows that continue, as numbers of the rows of `logits`, and their
        next tokens; both are empty at the end.
        """

    def texts(self) -> list[list[int]]:
        """Return the generated tokens of each text."""


def new_search(
    settings: ExportedGeneration,
    contexts: Sequence[Sequence[int]],
    randoms: Sequence[random.Random] = (),
    is_finished: EndTest | None = None,
) -> Search:
    """Return a search; `contexts` are the tokens before the generated ones, one list per text.

    `randoms` are the random numbers of each text, for sampling. `is_finished` tells whether a text is finished; by default, it
    is at its end token. Beam search does not use it.
    """
    if settings.num_beams > 1:
        return _Beams(settings, contexts)
    return _OneByOne(
        settings, contexts, randoms, is_finished or (lambda _, tokens: tokens[-1] == settings.eos_token_id)
    )


class _OneByOne:
    """Greedy search and sampling."""

    def __init__(
        self,
        settings: ExportedGeneration,
        contexts: Sequence[Sequence[int]],
        randoms: Sequence[random.Random],
        is_finished: EndTest,
    ) -> None:
        self._settings, self._rules, self._randoms = settings, _rules(settings), randoms
        self._texts = OpenTexts(contexts, settings.max_new_tokens, is_finished)

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings, texts = self._settings, self._texts
        scores = restrict(logits.copy(), texts, self._rules, _log_softmax)
        if settings.do_sample:
            tokens = _draw(scores, [self._randoms[i].random() for i in texts.open], settings)
        else:
            tokens = scores.argmax(1)
        return _arrays(*texts.take(tokens.tolist()))

    def texts(self) -> list[list[int]]:
        return self._texts.texts()


def _draw(scores: np.ndarray, numbers: Sequence[float], settings: ExportedGeneration) -> np.ndarray:
    """Return the token of each row that a random number from [0, 1) draws, in the steps of `decoding.py`."""
    scores = scores / np.float32(settings.temperature)
    if settings.top_k:
        size = min(settings.top_k, scores.shape[1])
        scores = np.where(scores < np.partition(scores, -size, axis=1)[:, [-size]], -np.inf, scores)
    if settings.top_p < 1:
        scores = _most_likely(scores, settings.top_p)
    shifted = np.exp((scores - scores.max(1, keepdims=True)).astype(np.float64))
    sums = shifted.cumsum(1)
    drawn = np.array(numbers) * sums[:, -1]
    # side="right": a token of probability 0 is never drawn, even by the number 0
    tokens = [np.searchsorted(row, number, side="right") for row, number in zip(sums, drawn, strict=True)]
    return np.asarray(np.minimum(tokens, scores.shape[1] - 1))


def _most_likely(scores: np.ndarray, top_p: float) -> np.ndarray:
    """Return the scores with -inf for all tokens except the most likely ones, whose probabilities add up to `top_p`."""
    order = np.argsort(scores, axis=1, kind="stable")
    ascending = np.take_along_axis(scores, order, axis=1)
    probabilities = np.exp(_log_softmax(ascending)).astype(np.float64)
    removed = probabilities.cumsum(1) <= 1 - top_p
    removed[:, -1] = False
    kept = np.where(removed, -np.inf, ascending).astype(scores.dtype)
    result = np.empty_like(scores)
    np.put_along_axis(result, order, kept, axis=1)
    return result


class _Beams:
    def __init__(self, settings: ExportedGeneration, contexts: Sequence[Sequence[int]]) -> None:
        self._rules = _rules(settings)
        self._beams = OpenBeams(self._rules, contexts)

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        beams, n_beams, vocabulary = self._beams, self._rules.num_beams, logits.shape[1]
        if beams.n_generated == 0:  # one row per text
            logits = np.repeat(logits, n_beams, axis=0)
        scores = restrict(_log_softmax(logits), beams, self._rules, _log_softmax)
        flat = (scores + beams.scores()[:, None]).reshape(-1, n_beams * vocabulary)
        candidates = [_best(row, 2 * n_beams) for row in flat]
        best_scores = [row[best].tolist() for row, best in zip(flat, candidates, strict=True)]
        return _arrays(*beams.take(best_scores, [best.tolist() for best in candidates], vocabulary))

    def texts(self) -> list[list[int]]:
        return self._beams.texts()


def _rules(settings: ExportedGeneration) -> SearchSettings:
    """Return the settings of the search."""
    return SearchSettings(**{each.name: getattr(settings, each.name) for each in fields(SearchSettings)})


def _best(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of the n largest scores, largest first."""
    best = np.argpartition(-scores, n - 1)[:n]
    return np.asarray(best[np.lexsort((best, -scores[best]))])


def _arrays(rows: Sequence[int], tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(rows, dtype=np.int64), np.array(tokens, dtype=np.int64)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
