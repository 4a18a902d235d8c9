"""Recognize rows of question answering: a question, a context, and answers that occur in the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.columns import describe, encoder_for, first_named
from ft_toolkit.tasks.guessing.languages import language_of
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table
from ft_toolkit.tasks.text.cells import read_printed

_QUESTION = ("question", "query", "questions", "frage")
_CONTEXT = ("context", "passage", "paragraph", "document", "text", "article", "kontext")
_ANSWERS = ("answers", "answer", "answertext", "span", "antwort")
_MAX_LENGTH = 384
_ROWS = 500
# The share of the answers that must occur in their context.
_OCCURRING = 0.8
# The share of different values that tells written answers from labels.
_DISTINCT = 0.3
_WRITER = FirstModel("google/flan-t5-small", "a small encoder-decoder for English texts")
_MULTILINGUAL_WRITER = FirstModel("google/mt5-small", "a small model for texts in 101 languages")


def guess_answers(table: Table) -> Guess:
    """Return the columns of questions, contexts and answers."""
    question, context, answers = _columns(table)
    missing = [
        name for name, column in (("question", question), ("context", context), ("answers", answers)) if column is None
    ]
    if question is None or context is None or answers is None:
        return Guess(0, (f"no column for {' and '.join(missing)}",))
    share = _occurring(table, context, answers)
    if share < _OCCURRING:
        return Guess(0, (f"only {share:.0%} of the answers in '{answers.name}' occur in '{context.name}'",))
    return Guess(
        1.0,
        (
            f"'{question.name}' has {describe(question)}",
            f"'{context.name}' has {describe(context)}",
            f"{share:.0%} of the answers in '{answers.name}' occur in the context",
        ),
        {"question": question.name, "context": context.name, "answers": answers.name},
        model=encoder_for(language_of(context.values), cased=False),
        max_length=_MAX_LENGTH,
    )


def guess_written_answers(table: Table) -> Guess:
    """Return the columns of questions, answers and, if there is one, contexts.

    Likely if the answers do not occur in the contexts, or if there are no contexts and the answers differ.
    """
    question, context, answers = _columns(table)
    if question is None or answers is None:
        return Guess(0, (f"no column for {'question' if question is None else 'answers'}",))
    reasons = [f"'{question.name}' has {describe(question)}", f"'{answers.name}' has {describe(answers)}"]
    columns = {"question": question.name, "answers": answers.name}
    score = 0.8 if answers.distinct_share >= _DISTINCT else 0.2
    if context is not None:
        columns["context"] = context.name
        share = _occurring(table, context, answers)
        reasons.append(f"{share:.0%} of the answers occur in '{context.name}'")
        score = 0.8 if share < _OCCURRING else 0.3
    model = _WRITER if language_of(question.values) == "en" else _MULTILINGUAL_WRITER
    return Guess(score, tuple(reasons), columns, model=model, max_length=_MAX_LENGTH)


def _columns(table: Table) -> tuple[ColumnFacts | None, ColumnFacts | None, ColumnFacts | None]:
    """Return the columns of questions, contexts and answers, None for a missing one."""
    texts = table.of_kind("text")
    question = table.named_column("question") or first_named(texts, _QUESTION)
    context = table.named_column("context") or first_named(
        [column for column in texts if column is not question], _CONTEXT
    )
    answers = table.named_column("answers") or first_named(
        [column for column in table.columns if column not in (question, context)], _ANSWERS
    )
    return question, context, answers


def _occurring(table: Table, context: ColumnFacts, answers: ColumnFacts) -> float:
    """Return the share of the answers that occur in their context; 0 without any answer."""
    pairs = [
        (text, str(row.get(context.name)))
        for row in table.rows[:: -(-len(table.rows) // _ROWS)]
        for text in _texts(row.get(answers.name))
    ]
    return sum(text in passage for text, passage in pairs) / len(pairs) if pairs else 0.0


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of answers in any form that the task reads."""
    if isinstance(value, str):
        printed = read_printed(value)
        if printed is None:
            yield from [value] if value.strip() else []
            return
        value = printed.value
    if isinstance(value, Mapping):
        yield from _texts(value.get("text"))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
