"""Pairs of question and context as windows of tokens, and the best spans over all windows of a context.

A window of a BERT-like checkpoint, and one of a decoder, whose tokenizer marks nothing:

    [CLS] question [SEP] tokens of the context [SEP]         no answer: [CLS]
          question \\n    tokens of the context <|endoftext|>  no answer: <|endoftext|>, the one token that sees everything
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
    """What stands before, between and behind question and context, and where no answer is pointed to.

    `null` is that place, counted from the front, or where it is negative from the end.
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
        """Tokens that are neither question nor context."""
        return len(self.before) + len(self.between) + len(self.behind)


def find_frame(tokenizer: Any, *, causal: bool) -> Frame:
    """Learn from a probe how a tokenizer joins two texts.

    A line break is put between them where the tokenizer puts nothing. With `causal` an end token is put behind them where
    there is nothing, and no answer is pointed to by the last token, since an earlier one cannot know the context. Else the
    CLS token points to no answer, and the first token where there is no CLS.
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


@dataclass(frozen=True)
class Window:
    """Which tokens of the context a feature holds: `n` of them from token `first` on, at place `at` of the feature.

    `spans` has the characters of every token of the whole context, shape (tokens, 2); `null` is the place of no answer.
    """

    first: int
    n: int
    at: int
    null: int
    spans: np.ndarray

    def place(self, answer: tuple[int, int] | None) -> tuple[int, int]:
        """Return the first and last place in the feature of an answer, given by tokens of the context, else of no answer."""
        if answer is None or not self.first <= answer[0] <= answer[1] < self.first + self.n:
            return self.null, self.null
        return answer[0] - self.first + self.at, answer[1] - self.first + self.at


def share_room(n_question: int, frame: Frame, max_length: int) -> tuple[int, int]:
    """Return how many tokens of the question are kept, and how many of the context a window holds.

    The question gets what it needs, at most half of what the frame leaves, and the context the rest.
    """
    free = max(max_length - frame.size, 2)
    question = min(n_question, free // 2)
    return question, free - question


def build_inputs(
    frame: Frame, question: Sequence[int], context: Sequence[int]
) -> tuple[list[int], list[int], int, int]:
    """Return the ids and types of a feature, the place where the context begins, and that of no answer."""
    marked = [
        *frame.before,
        *((token, frame.question_type) for token in question),
        *frame.between,
        *((token, frame.context_type) for token in context),
        *frame.behind,
    ]
    at = len(frame.before) + len(question) + len(frame.between)
    null = frame.null if frame.null >= 0 else len(marked) + frame.null
    return [token for token, _ in marked], [kind for _, kind in marked], at, null


def answer_tokens(start: int, end: int, spans: np.ndarray) -> tuple[int, int] | None:
    """Return the first and last token of characters [start, end); None where no token stands for them.

    Tokens of a byte-level vocabulary may begin with a space, and several may share one character.
    """
    touching = np.flatnonzero((spans[:, 1] > start) & (spans[:, 0] < end) & (spans[:, 1] > spans[:, 0]))
    return (int(touching[0]), int(touching[-1])) if len(touching) else None


@dataclass(frozen=True)
class Candidate:
    """A stretch of the context, its score (start plus end logit), and its share among all that the model could answer."""

    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class Candidates:
    """The best spans of an example, best first, and what no answer scores: its lowest over the windows.

    A window without the answer says so rightly; only where all windows do, there is none.
    """

    spans: list[Candidate]
    null_score: float
    null_probability: float

    @property
    def lack(self) -> float:
        """By how much no answer outscores the best span; finite, so that it can stand in a file."""
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
    """Return the `limit` best stretches of the context of at most `longest` tokens, over all windows of an example.

    `logits[w]` has shape (2, tokens): start and end. Every stretch is looked at; one in several windows takes its best
    score. Probabilities are a softmax over all stretches and, with `with_null`, no answer. White space at the ends is
    left out of a stretch, and none consists of white space alone.
    """
    spans = windows[0].spans
    table = np.full((len(spans), min(longest, len(spans))), -np.inf)  # [first token, further tokens]
    null_score = np.inf
    for (start, end), window in zip(logits, windows, strict=True):
        null_score = min(null_score, float(start[window.null]) + float(end[window.null]))
        inner = slice(window.at, window.at + window.n)
        starts, ends = start[inner].astype(np.float64), end[inner].astype(np.float64)
        for more in range(min(table.shape[1], window.n)):
            column = table[window.first : window.first + window.n - more, more]
            np.maximum(column, starts[: window.n - more] + ends[more:], out=column)
    flat = table.ravel()
    everything = np.append(flat, null_score) if with_null else flat
    top = float(everything.max()) if len(everything) else 0.0
    total = float(np.exp(everything - top).sum()) if len(everything) else 1.0
    found: list[Candidate] = []
    seen: set[tuple[int, int]] = set()
    for place in _descending(flat, 4 * limit):
        first, more = divmod(int(place), table.shape[1])
        start_character, end_character = _stripped(context, int(spans[first, 0]), int(spans[first + more, 1]))
        if start_character < end_character and (start_character, end_character) not in seen and len(found) < limit:
            seen.add((start_character, end_character))
            score = float(flat[place])
            found.append(Candidate(start_character, end_character, score, float(np.exp(score - top)) / total))
    null_probability = float(np.exp(null_score - top)) / total if with_null else 0.0
    return Candidates(found, null_score, null_probability)


def _descending(values: np.ndarray, limit: int) -> list[int]:
    """Return the places of the largest finite values, largest first, equal ones by place."""
    places = np.argpartition(-values, limit - 1)[:limit] if len(values) > limit else np.arange(len(values))
    places = places[np.isfinite(values[places])]
    return [int(place) for place in places[np.lexsort((places, -values[places]))]]


def _stripped(context: str, start: int, end: int) -> tuple[int, int]:
    """Return the characters of a stretch without the white space at its ends."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
