"""Choose the tokens of generated texts, as transformers' `generate` does: rows that continue, beams, and excluded tokens.

`decoding_loop` uses these functions and classes with tensors of torch, and the runtime of exported models with arrays of numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ft_toolkit.tasks.text.continuations import EndTest
from ft_toolkit.tasks.text.prompts import repeating_tokens

# The score of beams that do not exist yet: all beams of a text are equal before the first step.
_ABSENT = -1e9
# Settings of transformers that change the texts and that a search does not have.
_UNKNOWN = (
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "exponential_decay_length_penalty",
    "guidance_scale",
    "min_length",
    "penalty_alpha",
    "prompt_lookup_num_tokens",
    "sequence_bias",
    "stop_strings",
    "token_healing",
    "top_h",
    "watermarking_config",
)


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search, with the names of transformers' GenerationConfig."""

    max_new_tokens: int
    eos_token_id: int
    num_beams: int = 1
    length_penalty: float = 1.0
    min_new_tokens: int = 0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    # Tokens that are never generated.
    suppress_tokens: list[int] = field(default_factory=list)
    # Tokens that are not generated first.
    begin_suppress_tokens: list[int] = field(default_factory=list)
    renormalize_logits: bool = False


def search_settings(config: Any, *, is_encoder_decoder: bool) -> tuple[SearchSettings, list[str]]:
    """Return the settings of a GenerationConfig, and the names of those that a search does not have."""
    values = {name: getattr(config, name, None) for name in _UNKNOWN}
    unknown = [name for name, value in values.items() if value is True or value not in (None, 0, 1.0)]
    bad_words = list(getattr(config, "bad_words_ids", None) or [])
    if any(len(words) > 1 for words in bad_words):
        unknown.append("bad_words_ids")
    if config.do_sample:
        unknown.append("do_sample")
    suppressed = [token for words in bad_words for token in words if token != config.eos_token_id]
    settings = SearchSettings(
        max_new_tokens=config.max_new_tokens,
        eos_token_id=config.eos_token_id,
        num_beams=config.num_beams or 1,
        length_penalty=1.0 if config.length_penalty is None else config.length_penalty,
        min_new_tokens=config.min_new_tokens or 0,
        no_repeat_ngram_size=config.no_repeat_ngram_size or 0,
        repetition_penalty=1.0 if config.repetition_penalty is None else config.repetition_penalty,
        # transformers forces it only where the text has one token before it: the start token of a decoder
        forced_bos_token_id=config.forced_bos_token_id if is_encoder_decoder else None,
        forced_eos_token_id=config.forced_eos_token_id,
        suppress_tokens=[*suppressed, *(config.suppress_tokens or [])],
        begin_suppress_tokens=list(config.begin_suppress_tokens or []),
        renormalize_logits=bool(config.renormalize_logits),
    )
    return settings, sorted(unknown)


class OpenTexts:
    """The texts of a greedy search or of sampling: one row each, until it is finished."""

    def __init__(self, contexts: Sequence[Sequence[int]], max_new_tokens: int, is_finished: EndTest) -> None:
        """`contexts` are the tokens before the generated ones, one list per text."""
        self._max_new_tokens, self._is_finished = max_new_tokens, is_finished
        self._sequences = [list(context) for context in contexts]
        self._starts = [len(context) for context in contexts]
        # The text of each row.
        self.open = list(range(len(contexts)))
        self.n_generated = 0

    def sequences(self) -> list[list[int]]:
        """Return the tokens of each row, with its context."""
        return [self._sequences[i] for i in self.open]

    def take(self, tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        """Add a token to each row. Returns the rows that continue and their tokens."""
        self.n_generated += 1
        rows = []
        for row, (i, token) in enumerate(zip(self.open, tokens, strict=True)):
            self._sequences[i].append(token)
            if self.n_generated < self._max_new_tokens and not self._is_finished(i, self._sequences[i]):
                rows.append(row)
        self.open = [self.open[row] for row in rows]
        return rows, [tokens[row] for row in rows]

    def text(self, number: int) -> list[int]:
        """Return the generated tokens of a text."""
        return self._sequences[number][self._starts[number] :]

    def texts(self) -> list[list[int]]:
        """Return the generated tokens of each text."""
        return [self.text(number) for number in range(len(self._sequences))]


@dataclass
class _Text:
    """The beams of one text: running ones, best first, and finished ones with their scores, best first."""

    context: list[int]
    running: list[list[int]]
    scores: np.ndarray
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    is_open: bool = True


class OpenBeams:
    """The texts of a beam search: num_beams rows each, one in the first step, until no beam can become better."""

    def __init__(self, settings: SearchSettings, contexts: Sequence[Sequence[int]]) -> None:
        self._settings = settings
        n_beams = settings.num_beams
        scores = np.full(n_beams, _ABSENT, dtype=np.float32)
        scores[0] = 0
        self._texts = [_Text(list(context), [[] for _ in range(n_beams)], scores.copy()) for context in contexts]
        self.n_generated = 0

    def sequences(self) -> list[list[int]]:
        """Return the tokens of each beam of the open texts, with its context."""
        return [text.context + beam for text in self._texts if text.is_open for beam in text.running]

    def scores(self) -> np.ndarray:
        """Return the sum of the log-probabilities of each beam of the open texts."""
        return np.concatenate([text.scores for text in self._texts if text.is_open])

    def take(
        self, scores: Sequence[Sequence[float]], candidates: Sequence[Sequence[int]], vocabulary: int
    ) -> tuple[list[int], list[int]]:
        """Continue with the 2 * num_beams best candidates of each open text, best first.

        A candidate is the number beam * vocabulary + token. Each beam can end in one way, so at least half of the candidates
        continue. Returns the rows that continue and their tokens.
        """
        n_beams = self._settings.num_beams
        is_first = self.n_generated == 0
        self.n_generated += 1
        rows: list[int] = []
        tokens: list[int] = []
        for number, text in enumerate([text for text in self._texts if text.is_open]):
            parents = self._advance_text(text, scores[number], candidates[number], vocabulary)
            if text.is_open:
                rows += [number if is_first else number * n_beams + parent for parent in parents]
                tokens += [beam[-1] for beam in text.running]
        return rows, tokens

    def _advance_text(
        self, text: _Text, scores: Sequence[float], candidates: Sequence[int], vocabulary: int
    ) -> list[int]:
        """Choose the next beams of a text, and return their parents."""
        settings, n_beams = self._settings, self._settings.num_beams
        is_last = self.n_generated == settings.max_new_tokens
        divisor = self.n_generated**settings.length_penalty
        parents: list[int] = []
        beams: list[list[int]] = []
        for rank, (score, candidate) in enumerate(zip(scores, candidates, strict=True)):
            parent, token = divmod(candidate, vocabulary)
            if is_last or token == settings.eos_token_id:
                if rank < n_beams:
                    text.finished.append((score / divisor, [*text.running[parent], token]))
            elif len(beams) < n_beams:
                beams.append([*text.running[parent], token])
                parents.append(parent)
                text.scores[len(beams) - 1] = score
        text.finished = sorted(text.finished, key=lambda each: -each[0])[:n_beams]
        text.running = beams
        can_improve = len(text.finished) < n_beams or text.scores[0] / divisor > text.finished[-1][0]
        text.is_open = bool(beams) and can_improve
        return parents

    def texts(self) -> list[list[int]]:
        """Return the generated tokens of each text."""
        return [text.finished[0][1] for text in self._texts]


def restrict(
    scores: Any, texts: OpenTexts | OpenBeams, settings: SearchSettings, log_softmax: Callable[[Any], Any]
) -> Any:
    """Return the scores after the repetition penalty, with -inf for excluded tokens, in the order of transformers.

    `scores`, an array or a tensor of shape (rows, vocabulary), is changed. `texts` are the texts of the rows.
    """
    n_generated = texts.n_generated
    # beams join their tokens for each call, so only settings that depend on earlier tokens read them
    reads_sequences = settings.no_repeat_ngram_size > 0 or settings.repetition_penalty != 1
    sequences = texts.sequences() if reads_sequences else []
    if settings.repetition_penalty != 1:
        for row, sequence in enumerate(sequences):
            seen = sorted(set(sequence))
            values = scores[row, seen]
            is_negative = values < 0
            values[is_negative] *= settings.repetition_penalty
            values[~is_negative] /= settings.repetition_penalty
            scores[row, seen] = values
    if settings.no_repeat_ngram_size:
        for row, sequence in enumerate(sequences):
            scores[row, repeating_tokens(sequence, settings.no_repeat_ngram_size)] = -np.inf
    if n_generated < settings.min_new_tokens:
        scores[:, settings.eos_token_id] = -np.inf
    for step, token in (
        (0, settings.forced_bos_token_id),
        (settings.max_new_tokens - 1, settings.forced_eos_token_id),
    ):
        if token is not None and n_generated == step:
            scores[:] = -np.inf
            scores[:, token] = 0
    if settings.suppress_tokens:
        scores[:, settings.suppress_tokens] = -np.inf
    if settings.begin_suppress_tokens and n_generated == int(settings.forced_bos_token_id is not None):
        scores[:, settings.begin_suppress_tokens] = -np.inf
    return log_softmax(scores) if settings.renormalize_logits else scores
