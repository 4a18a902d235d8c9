"""Scores of answers to questions against reference answers, for extractive and for written answers.

Both arrays of `to_arrays` have the columns exact match, F1, whether there is an answer, and whether characters are compared.
A task may append further columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ft_toolkit.metrics import squad
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Robustness, Row, Rows
from ft_toolkit.tasks.text.edits import EditsByColumn

N_COLUMNS = 4
_HAS_ANSWER, _BY_CHARACTER = 2, 3

METRICS: Mapping[str, Metric] = {
    "f1": Metric(squad.f1, is_mean=True),
    "exact_match": Metric(squad.exact_match, is_mean=True, short_names=("em",)),
}


def _is_by_character(row: Row) -> bool:
    """Return whether the answers of a row are compared by character: its context, or else its question, has no spaces."""
    return squad.is_unspaced(str(row.get("context") or row["question"]))


def scores(answer: str, references: Sequence[str], row: Row) -> tuple[float, float, bool, bool]:
    """Return exact match, F1, whether there is an answer, and whether characters are compared instead of words."""
    by_character = _is_by_character(row)
    return *squad.answer_scores(answer, references, by_character=by_character), bool(references), by_character


def to_arrays(answers: Sequence[str], references: Sequence[Sequence[str]], rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 4), of the answers and of perfect answers. No reference answers: the question has no answer."""
    scored = [scores(answer, texts, row) for answer, texts, row in zip(answers, references, rows, strict=True)]
    array = np.array(scored, np.float64).reshape(-1, N_COLUMNS)
    return array, np.concatenate([np.ones_like(array[:, :_HAS_ANSWER]), array[:, _HAS_ANSWER:]], axis=1)


def has_answer(references: np.ndarray) -> np.ndarray:
    """Return for each example whether its question has an answer, shape (n,)."""
    chosen: np.ndarray = references[:, _HAS_ANSWER] == 1
    return chosen


def compares_characters(scores: np.ndarray) -> np.ndarray:
    """Return for each example of an array whether its answers are compared by character, shape (n,)."""
    chosen: np.ndarray = scores[:, _BY_CHARACTER] == 1
    return chosen


def scoring(predictions: np.ndarray) -> str:
    """Return a sentence on how the answers of an array are compared."""
    text = "SQuAD: words, ignoring case, punctuation and articles"
    if by_character := int(compares_characters(predictions).sum()):
        text += f"; {by_character} of {len(predictions)} examples by character as in MLQA (scripts without spaces)"
    return text


def by_answer(
    predictions: np.ndarray, references: np.ndarray, metrics: Mapping[str, Metric]
) -> list[dict[str, float | str]]:
    """Return the metrics of the questions with an answer, and of those without one, for a table."""
    answered = has_answer(references)
    return [
        {
            "rows": name,
            **{key: metric.fn(predictions[chosen], references[chosen]) for key, metric in metrics.items()},
            "support": int(chosen.sum()),
        }
        for name, chosen in (("with an answer", answered), ("without an answer", ~answered))
        if chosen.any()
    ]


def _same_words(before: str, after: str, edits: EditsByColumn) -> bool:
    return squad.words(before) == squad.words(after)


# Only the question is changed, and its names stay: the context does not know other names.
ROBUSTNESS = Robustness(("question",), ("typos", "lowercase", "uppercase"), same_answer=_same_words)
