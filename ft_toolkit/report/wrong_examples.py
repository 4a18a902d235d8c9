"""The wrong examples of a split: chosen by the task, or by a default when the task has no choice of its own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ft_toolkit.tasks.base import Task
from ft_toolkit.tasks.display.wrong_examples import (
    LIMIT,
    Piece,
    WrongExample,
    WrongExamples,
    shorten,
)


def find_wrong_examples(task: Task, schema: Any, records: Sequence[Mapping[str, Any]]) -> WrongExamples | None:
    """Return the examples of one split that a reader should look at; None without records or schema."""
    if not records or schema is None:
        return None
    if task.wrong_examples is not None:
        return task.wrong_examples(records, schema)
    return _different_answers(task, schema, records)


def _different_answers(task: Task, schema: Any, records: Sequence[Mapping[str, Any]]) -> WrongExamples:
    """Return the first examples whose answer differs from the reference answer, by confidence."""
    wrong = [record for record in records if task.answer(record, schema) != record["gold"]]
    shown = sorted(wrong, key=lambda record: -task.confidence(record))[:LIMIT]
    summary = f"{len(wrong):,} of {len(records):,} answers differ from the reference answer"
    summary += f"; shown are {len(shown):,}." if len(shown) < len(wrong) else "."
    examples = [_example(task, schema, record) for record in shown]
    return WrongExamples("Wrong examples", summary, examples, len(wrong))


def _example(task: Task, schema: Any, record: Mapping[str, Any]) -> WrongExample:
    columns = [name for name, column in task.columns.items() if not column.is_answer and record.get(name)]
    texts = tuple((name, (Piece(shorten(str(record[name]))),)) for name in columns)
    reference, predicted = (
        ", ".join(task.answer_texts(answer)) or "none" for answer in (record["gold"], task.answer(record, schema))
    )
    weight = (task.confidence(record),)
    return WrongExample(str(record.get("id", "")), texts, shorten(reference), shorten(predicted), weight, "")


def move_columns_to_remark(wrong_examples: WrongExamples, columns: Collection[str]) -> WrongExamples:
    """Return the examples with the given columns, which the model does not see, in the remark instead of the texts."""
    examples = []
    for example in wrong_examples.examples:
        moved = [f"{name} {''.join(piece.text for piece in text)}" for name, text in example.texts if name in columns]
        texts = tuple((name, text) for name, text in example.texts if name not in columns)
        remark = " · ".join(filter(None, [example.remark, *moved]))
        examples.append(replace(example, texts=texts, remark=remark))
    return replace(wrong_examples, examples=examples)


def first_wrong_records(
    task: Task, schema: Any, records: Sequence[Mapping[str, Any]], limit: int
) -> list[Mapping[str, Any]]:
    """Return the records of the first `limit` wrong examples, in the order of the page."""
    wrong_examples = find_wrong_examples(task, schema, records)
    by_id = {str(record.get("id", "")): record for record in records}
    examples = wrong_examples.examples[:limit] if wrong_examples is not None else []
    return [by_id[example.example_id] for example in examples]
