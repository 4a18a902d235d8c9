"""Choose the tokens of generated texts from logits: greedy search, beam search and sampling. Numpy only.

The results are those of transformers' `generate`, and for sampling those of `tasks/text/decoding.py`, which draws with the same
random numbers. A search is advanced step by step: it gets the logits of the rows of the last step, and returns the rows that
continue and their next tokens.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ft_toolkit.core.export_records import ExportedGeneration
from ft_toolkit.tasks.text.continuations import EndTest
from ft_toolkit.tasks.text.prompts import repeating_tokens

# The score of beams that do not exist yet: all beams of a text are equal before the first step.
_ABSENT = -1e9


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
        self._settings, self._randoms, self._is_finished = settings, randoms, is_finished
        self._sequences = [list(context) for context in contexts]
        self._starts = [len(context) for context in contexts]
        self._open = list(range(len(contexts)))
        self._n_generated = 0

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings = self._settings
        scores = _restrict(logits, [self._sequences[i] for i in self._open], self._n_generated, settings)
        if settings.do_sample:
            tokens = _draw(scores, [self._randoms[i].random() for i in self._open], settings)
        else:
            tokens = scores.argmax(1)
        self._n_generated += 1
        rows = []
        for row, (i, token) in enumerate(zip(self._open, tokens.tolist(), strict=True)):
            self._sequences[i].append(token)
            if not self._is_finished(i, self._sequences[i]) and self._n_generated < settings.max_new_tokens:
                rows.append(row)
        self._open = [self._open[row] for row in rows]
        return np.array(rows, dtype=np.int64), tokens[rows]

    def texts(self) -> list[list[int]]:
        return [sequence[start:] for sequence, start in zip(self._sequences, self._starts, strict=True)]


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


@dataclass
class _Text:
    """The beams of one text: running ones, best first, and finished ones with their scores, best first."""

    context: list[int]
    running: list[list[int]]
    scores: np.ndarray
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    is_open: bool = True


class _Beams:
    def __init__(self, settings: ExportedGeneration, contexts: Sequence[Sequence[int]]) -> None:
        self._settings = settings
        n_beams = settings.num_beams
        scores = np.full(n_beams, _ABSENT, dtype=np.float32)
        scores[0] = 0
        self._texts = [_Text(list(context), [[] for _ in range(n_beams)], scores.copy()) for context in contexts]
        self._n_generated = 0

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings, n_beams = self._settings, self._settings.num_beams
        is_first = self._n_generated == 0
        if is_first:  # one row per text
            logits = np.repeat(logits, n_beams, axis=0)
        open_texts = [text for text in self._texts if text.is_open]
        sequences = [text.context + beam for text in open_texts for beam in text.running]
        scores = _restrict(_log_softmax(logits), sequences, self._n_generated, settings)
        scores += np.concatenate([text.scores for text in open_texts])[:, None]
        self._n_generated += 1
        rows: list[int] = []
        tokens: list[int] = []
        for number, text in enumerate(open_texts):
            parents = self._advance_text(text, scores[number * n_beams : (number + 1) * n_beams])
            if text.is_open:
                rows += [number if is_first else number * n_beams + parent for parent in parents]
                tokens += [beam[-1] for beam in text.running]
        return np.array(rows, dtype=np.int64), np.array(tokens, dtype=np.int64)

    def _advance_text(self, text: _Text, scores: np.ndarray) -> list[int]:
        """Choose the next beams of a text from the scores, shape (beams, vocabulary), and return their parents."""
        settings, n_beams, vocabulary = self._settings, self._settings.num_beams, scores.shape[1]
        flat = scores.ravel()
        best = np.argpartition(-flat, 2 * n_beams - 1)[
            : 2 * n_beams
        ]  # each beam can end in one way, so at least half of them continue
        best = best[np.lexsort((best, -flat[best]))]
        is_last = self._n_generated == settings.max_new_tokens
        divisor = self._n_generated**settings.length_penalty
        parents: list[int] = []
        beams: list[list[int]] = []
        for rank, candidate in enumerate(best.tolist()):
            parent, token = divmod(candidate, vocabulary)
            beam = [*text.running[parent], token]
            if is_last or token == settings.eos_token_id:
                if rank < n_beams:
                    text.finished.append((float(flat[candidate]) / divisor, beam))
            elif len(beams) < n_beams:
                beams.append(beam)
                parents.append(parent)
                text.scores[len(beams) - 1] = flat[candidate]
        text.finished = sorted(text.finished, key=lambda each: -each[0])[:n_beams]
        text.running = beams
        can_improve = len(text.finished) < n_beams or text.scores[0] / divisor > text.finished[-1][0]
        text.is_open = bool(beams) and can_improve
        return parents

    def texts(self) -> list[list[int]]:
        return [text.finished[0][1] for text in self._texts]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _restrict(
    scores: np.ndarray, sequences: Sequence[Sequence[int]], n_generated: int, settings: ExportedGeneration
) -> np.ndarray:
    """Return the scores with -inf for the tokens that the settings exclude, in the order of transformers."""
    scores = scores.copy()
    if settings.repetition_penalty != 1:
        for row, sequence in enumerate(sequences):
            seen = sorted(set(sequence))
            factor, values = np.float32(settings.repetition_penalty), scores[row, seen]
            scores[row, seen] = np.where(values < 0, values * factor, values / factor)
    size = settings.no_repeat_ngram_size
    if size:
        for row, sequence in enumerate(sequences):
            scores[row, repeating_tokens(sequence, size)] = -np.inf
    if n_generated < settings.min_new_tokens:
        scores[:, settings.eos_token_id] = -np.inf
    if n_generated == 0 and settings.forced_bos_token_id is not None:
        scores = _only(settings.forced_bos_token_id, scores)
    if n_generated == settings.max_new_tokens - 1 and settings.forced_eos_token_id is not None:
        scores = _only(settings.forced_eos_token_id, scores)
    scores[:, settings.suppress_tokens] = -np.inf
    if n_generated == int(settings.forced_bos_token_id is not None):
        scores[:, settings.begin_suppress_tokens] = -np.inf
    return _log_softmax(scores) if settings.renormalize_logits else scores


def _only(token: int, scores: np.ndarray) -> np.ndarray:
    """Return scores that force a token."""
    forced = np.full_like(scores, -np.inf)
    forced[:, token] = 0
    return forced
