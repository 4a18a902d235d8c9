"""Choose the tokens of generated texts from logits: greedy search and beam search. Numpy only.

The results are those of transformers' `generate` without sampling. A search is advanced step by step: it gets the logits of the
rows of the last step, and returns the rows that continue and their next tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ft_toolkit.core.export_records import ExportedGeneration
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


def new_search(settings: ExportedGeneration, contexts: Sequence[Sequence[int]]) -> Search:
    """Return a search; `contexts` are the tokens before the generated ones, one list per text."""
    return _Greedy(settings, contexts) if settings.num_beams == 1 else _Beams(settings, contexts)


class _Greedy:
    def __init__(self, settings: ExportedGeneration, contexts: Sequence[Sequence[int]]) -> None:
        self._settings = settings
        self._contexts = [list(context) for context in contexts]
        self._texts: list[list[int]] = [[] for _ in contexts]
        self._open = list(range(len(contexts)))
        self._n_generated = 0

    def advance(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings = self._settings
        sequences = [self._contexts[i] + self._texts[i] for i in self._open]
        tokens = _restrict(logits, sequences, self._n_generated, settings).argmax(1)
        self._n_generated += 1
        rows = []
        for row, (i, token) in enumerate(zip(self._open, tokens.tolist(), strict=True)):
            self._texts[i].append(token)
            if token != settings.eos_token_id and self._n_generated < settings.max_new_tokens:
                rows.append(row)
        self._open = [self._open[row] for row in rows]
        return np.array(rows, dtype=np.int64), tokens[rows]

    def texts(self) -> list[list[int]]:
        return self._texts


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
