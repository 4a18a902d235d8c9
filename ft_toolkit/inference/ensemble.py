"""Predict with several models: each member predicts, and the task averages the outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.evaluation.predictor import CHUNK, Predictor
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Averaging, Features, Member, Rows, Task, without_answers


@dataclass(frozen=True)
class EnsemblePredictor:
    """The members of an ensemble and the schema of their average. Each member keeps its schema and length limit."""

    members: Sequence[Predictor]
    max_lengths: Sequence[int]
    schema: Any

    def outputs(self, rows: Rows) -> tuple[list[Any], Features]:
        """Return averaged values and their features, for `Task.decode` and `Task.tune`. Answers in the rows are ignored.

        Raises ModelError for members that do not fit each other.
        """
        task = self.members[0].task
        inputs = [without_answers(row, task) for row in rows]
        members = [
            _predict_member(predictor, inputs, max_length)
            for predictor, max_length in zip(self.members, self.max_lengths, strict=True)
        ]
        return averaging_of(task).combine(members, inputs)

    def stream(self, rows: Rows) -> Iterator[list[dict[str, Any]]]:
        """Yield the predictions of CHUNK rows at a time, in order."""
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            values, features = self.outputs(chunk)
            yield self.members[0].task.decode(values, features, chunk, self.schema)


def averaging_of(task: Task) -> Averaging:
    """Return how a task averages outputs. Raises UsageError for a task that cannot."""
    if task.averaging is None:
        allowed = [name for name, each in find_tasks().items() if each.averaging is not None]
        reason = (
            "its models generate texts, and texts cannot be averaged"
            if task.generate is not None
            else "its models predict tokens, not answers with probabilities"
        )
        raise UsageError(f"ensembles of {task.name} are not supported: {reason}; supported: {one_of(allowed)}")
    return task.averaging


def _predict_member(predictor: Predictor, rows: Rows, max_length: int) -> Member:
    task = predictor.task
    features = task.encode(rows, predictor.tokenizer, predictor.schema, max_length)
    predict = averaging_of(task).predict or task.predict
    values, _ = replace(predictor, task=replace(task, predict=predict)).predict(features)
    return Member(values, features, predictor.schema)
