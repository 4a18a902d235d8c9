"""Windows of question and context tokens, and the best answer spans over all windows of a context.

A window of a BERT-like checkpoint, and a window of a decoder, whose tokenizer adds no special tokens:

    [CLS] question [SEP] tokens of the context [SEP]         no answer: [CLS]
          question \\n    tokens of the context <|endoftext|>  no answer: <|endoftext|>, which sees all tokens
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A token and its type (segment).
Marked = list[tuple[int, int]]


@dataclass(frozen=True)
class Frame:
    """The special tokens before, between and behind question and context.

    `null` is the position that represents no answer; a negative number counts from the end.
    """

    before: Marked
    between: Marked
    behind: Marked
    question_type: int
    context_type: int
    has_types: bool
    null: int

    @property
    def size(self) -> int:
        """The number of special tokens."""
        return len(self.before) + len(self.between) + len(self.behind)


def find_frame(tokenizer: Any, *, causal: bool) -> Frame:
    """Find how a tokenizer joins two texts, by encoding a pair of letters.

    A line break separates question and context when the tokenizer adds nothing between them. With `causal`, an end token
    follows, and the last token represents no answer, because earlier tokens do not see the context. Otherwise the CLS token
    represents no answer, or the first token without CLS.
    """
    probe = tokenizer("a", "b", return_attention_mask=False)
    ids, sides = list(probe["input_ids"]), probe.sequence_ids(0)
    has_types = "token_type_ids" in probe
    types = list(probe["token_type_ids"]) if has_types else [0] * len(ids)
    marked = list(zip(ids, types, strict=True))
    question = [i for i, side in enumerate(sides) if side == 0]
    context = [i for i, side in enumerate(sides) if side == 1]
    question_type, context_type = types[question[0]], types[context[0]]
    before, between, behind = (
        marked[: question[0]],
        marked[question[-1] + 1 : context[0]],
        marked[context[-1] + 1 :],
    )
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.pad_token_id
    if not between:
        line_break = tokenizer("\n", add_special_tokens=False)["input_ids"] or [end]
        between = [(token, question_type) for token in line_break]
    if causal and not behind:
        behind = [(end, context_type)]
    cls = tokenizer.cls_token_id
    null = -1 if causal else 0
    if not causal and cls is not None and cls in [token for token, _ in before]:
        null = [token for token, _ in before].index(cls)
    elif not causal and cls is not None and cls in [token for token, _ in behind]:
        null = [token for token, _ in behind].index(cls) - len(behind)
    return Frame(before, between, behind, question_type, context_type, has_types, null)


# Window.first, start, null, and the bytes of spans as int32.
WindowNote = tuple[int, int, int, bytes]


@dataclass(frozen=True)
class Window:
    """The tokens of the context in a feature: `n` tokens from token `first`, at position `start` of the feature.

    `spans` has the characters of each of these tokens, shape (n, 2); `null` is the position of no answer.
    """

    first: int
    n: int
    start: int
    null: int
    spans: np.ndarray

    def position(self, answer: tuple[int, int] | None) -> tuple[int, int]:
        """Return the positions of the first and last token of an answer in the feature, otherwise those of no answer.

        `answer` is given by tokens of the context.
        """
        if answer is None or not self.first <= answer[0] <= answer[1] < self.first + self.n:
            return self.null, self.null
        return answer[0] - self.first + self.start, answer[1] - self.first + self.start

    def note(self) -> WindowNote:
        """Return the window in a form that can be stored with the features."""
        return self.first, self.start, self.null, self.spans.astype(np.int32).tobytes()

    @classmethod
    def from_note(cls, note: WindowNote) -> "Window":
        """Return the window of `note`."""
        first, start, null, spans = note
        characters = np.frombuffer(spans, np.int32).reshape(-1, 2)
        return cls(first, len(characters), start, null, characters)


def share_room(n_question: int, frame: Frame, max_length: int) -> tuple[int, int]:
    """Return the number of question tokens that are kept, and the number of context tokens per window.

    The question gets at most half of the tokens that the special tokens leave.
    """
    free = max(max_length - frame.size, 2)
    question = min(n_question, free // 2)
    return question, free - question


def build_inputs(
    frame: Frame, question: Sequence[int], context: Sequence[int]
) -> tuple[list[int], list[int], int, int]:
    """Return ids and token types of a feature, the start of the context, and the position of no answer."""
    marked = [
        *frame.before,
        *((token, frame.question_type) for token in question),
        *frame.between,
        *((token, frame.context_type) for token in context),
        *frame.behind,
    ]
    start = len(frame.before) + len(question) + len(frame.between)
    null = frame.null if frame.null >= 0 else len(marked) + frame.null
    return [token for token, _ in marked], [kind for _, kind in marked], start, null


def answer_tokens(start: int, end: int, spans: np.ndarray) -> tuple[int, int] | None:
    """Return the first and last token of the characters [start, end), None if no token covers them.

    Tokens of a byte-level vocabulary may start with a space, and several tokens may share one character.
    """
    touching = np.flatnonzero((spans[:, 1] > start) & (spans[:, 0] < end) & (spans[:, 1] > spans[:, 0]))
    return (int(touching[0]), int(touching[-1])) if len(touching) else None


@dataclass(frozen=True)
class Candidate:
    """A span of the context in characters, its score (start logit plus end logit), and its probability among all answers."""

    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class Candidates:
    """The best spans of an example, best first, and score and probability of no answer.

    The score of no answer is its minimum over the windows: a window without the answer rightly predicts none, so only a high
    score in all windows means that there is no answer.
    """

    spans: list[Candidate]
    null_score: float
    null_probability: float

    @property
    def null_margin(self) -> float:
        """The score of no answer minus the score of the best span; finite, so that JSON can hold it."""
        return self.null_score - self.spans[0].score if self.spans else sys.float_info.max / 4


def best_spans(
    logits: Sequence[np.ndarray],
    windows: Sequence[Window],
    context: str,
    *,
    longest: int,
    limit: int,
    with_null: bool,
) -> Candidates:
    """Return the `limit` best spans of the context of at most `longest` tokens, over all windows of an example.

    `logits[w]` has shape (2, tokens): start and end. Every span is scored; a span in several windows gets its best score.
    Probabilities are a softmax over all spans and, with `with_null`, no answer. White space is stripped from spans; spans of
    white space are skipped.
    """
    spans = np.zeros((max(window.first + window.n for window in windows), 2), np.int32)
    for window in windows:
        spans[window.first : window.first + window.n] = window.spans
    table = np.full((len(spans), min(longest, len(spans))), -np.inf)  # [first token, further tokens]
    null_score = np.inf
    for (start, end), window in zip(logits, windows, strict=True):
        null_score = min(null_score, float(start[window.null]) + float(end[window.null]))
        inner = slice(window.start, window.start + window.n)
        starts, ends = start[inner].astype(np.float64), end[inner].astype(np.float64)
        for more in range(min(table.shape[1], window.n)):
            column = table[window.first : window.first + window.n - more, more]
            np.maximum(column, starts[: window.n - more] + ends[more:], out=column)
    flat = table.ravel()
    all_scores = np.append(flat, null_score) if with_null else flat
    top = float(all_scores.max()) if len(all_scores) else 0.0
    total = float(np.exp(all_scores - top).sum()) if len(all_scores) else 1.0
    candidates: list[Candidate] = []
    seen: set[tuple[int, int]] = set()
    for index in _largest(flat, 4 * limit):
        first, more = divmod(index, table.shape[1])
        start_character, end_character = _stripped(context, int(spans[first, 0]), int(spans[first + more, 1]))
        if start_character < end_character and (start_character, end_character) not in seen and len(candidates) < limit:
            seen.add((start_character, end_character))
            score = float(flat[index])
            candidates.append(Candidate(start_character, end_character, score, float(np.exp(score - top)) / total))
    null_probability = float(np.exp(null_score - top)) / total if with_null else 0.0
    return Candidates(candidates, null_score, null_probability)


def _largest(values: np.ndarray, limit: int) -> list[int]:
    """Return the indices of the largest finite values in descending order, ties by index."""
    indices = np.argpartition(-values, limit - 1)[:limit] if len(values) > limit else np.arange(len(values))
    indices = indices[np.isfinite(values[indices])]
    return [int(index) for index in indices[np.lexsort((indices, -values[indices]))]]


def _stripped(context: str, start: int, end: int) -> tuple[int, int]:
    """Return start and end without surrounding white space."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
