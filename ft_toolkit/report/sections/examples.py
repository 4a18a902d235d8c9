"""Wrong examples, chosen by the task, and a few correct ones, chosen by a hash."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.report.attributions import shade
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.wrong_examples import find_wrong_examples, move_columns_to_remark
from ft_toolkit.tasks.base import Task
from ft_toolkit.tasks.display.wrong_examples import shorten

_MAX_CORRECT = 5


def _build(run: RunFiles, split: str) -> dict[str, Any] | None:
    records = [record for record in run.predictions if record["split"] == split]
    wrong = find_wrong_examples(run.task, run.schema, records)
    if wrong is None:
        return None
    attributions = [line for line in run.attributions if line["split"] == split]
    correct = []
    if wrong.n_wrong is not None and wrong.n_wrong < len(records):
        correct = _correct_examples(run.task, run.schema, records)
    return {
        "wrong": shade(move_columns_to_remark(wrong, _columns_beside_input(run, split)), records, attributions),
        "correct": correct,
        "n_correct": None if wrong.n_wrong is None else len(records) - wrong.n_wrong,
    }


def _correct_examples(task: Task, schema: Any, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a few correct examples in the order of a hash of their ids, which does not depend on the prediction."""
    by_hash = sorted(records, key=lambda record: hashlib.sha256(str(record.get("id")).encode()).digest())
    columns = [name for name, column in task.columns.items() if not column.is_answer]
    examples: list[dict[str, Any]] = []
    for record in by_hash:
        alone = find_wrong_examples(task, schema, [record])
        if alone is None or alone.n_wrong != 0:
            continue
        answer = task.answer(record, schema)
        texts = ((name, record.get(name)) for name in columns)
        examples.append(
            {
                "id": record.get("id", ""),
                "texts": [(name, shorten(text)) for name, text in texts if isinstance(text, str) and text.strip()],
                "answer": shorten(", ".join(task.answer_texts(answer))) or "none",
            }
        )
        if len(examples) == _MAX_CORRECT:
            break
    return examples


def _columns_beside_input(run: RunFiles, split: str) -> set[str]:
    """Return the columns of slices and groups, which the model does not see."""
    scores = run.results.scores[split]
    return {table.column for table in scores.slices} | {table.column for table in scores.groups}


SECTION = Section(order=30, title="Examples", build=per_split(_build))
