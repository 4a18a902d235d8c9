"""What small changes of the texts do to the answers: how many flip, and what that costs. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.evaluation.breakdown.perturb import KINDS, OFFERED, Changed, moved
from ft_toolkit.evaluation.statistics.scores import interval, score_interval
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.calibration import wilson_95
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.metrics.squad import words
from ft_toolkit.tasks.base import Row, Task

EXAMPLES_SHOWN = 20


@dataclass(frozen=True)
class Trial:
    """A row before and after a change, each with the model's answer."""

    row: Row
    changed: Changed
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def check_offered(task: Task, settings: Any) -> None:
    """Raise UsageError where no change of a text is sure to leave the true answer as it is, or answers do not flip."""
    if task.name not in OFFERED:
        raise UsageError(
            f"--robustness is not offered for {task.name}: a changed text has another true answer; offered for "
            f"{one_of(OFFERED)}"
        )
    if getattr(settings, "problem_type", None) == "regression":
        raise UsageError("--robustness counts answers that flip; problem_type=regression has numbers, which do not")


def kinds_of(task: Task) -> tuple[str, ...]:
    """Return the kinds of change that keep the task's answers."""
    return OFFERED[task.name][1]


def judge(
    kind: str,
    trials: Sequence[Trial],
    rewritten: int,
    *,
    task: Task,
    schema: Any,
    metric: Metric,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Return one kind's record. `trials` are the rows whose change the model can see, of `rewritten` whose text changed.

    {kind, rewritten, changed, flipped, flip_rate: {value, low, high} with Wilson's 95% interval, metric: {plain, value, low,
    high, difference: {low, high}}, examples}. The metric is that of the changed rows alone, `plain` before and `value` after;
    `difference` is the bootstrap's 95% interval of after minus before, row by row. Rows that did not change say nothing.
    """
    assert kind in KINDS
    found: dict[str, Any] = {"kind": kind, "rewritten": rewritten, "changed": len(trials), "flipped": 0}
    nothing = {"value": None, "low": None, "high": None}
    if not trials:
        unknown = {"plain": None, **nothing, "difference": {"low": None, "high": None}}
        return {**found, "flip_rate": nothing, "metric": unknown, "examples": []}
    flipped = [trial for trial in trials if _flips(trial, task)]
    low, high = wilson_95(len(flipped), len(trials))
    return {
        **found,
        "flipped": len(flipped),
        "flip_rate": {"value": len(flipped) / len(trials), "low": low, "high": high},
        "metric": _metric(trials, task, schema, metric, samples, seed),
        "examples": [_example(trial, task, schema) for trial in flipped[:EXAMPLES_SHOWN]],
    }


def _metric(
    trials: Sequence[Trial], task: Task, schema: Any, metric: Metric, samples: int, seed: int
) -> dict[str, Any]:
    before = task.to_arrays([dict(one.before) for one in trials], [one.row for one in trials], schema)
    after = task.to_arrays([dict(one.after) for one in trials], [one.changed.row for one in trials], schema)
    values = [metric.fn(*arrays) for arrays in (before, after)]
    # the same examples are drawn for both, so that the values pair up
    drawn = [resample({"": metric.fn}, *arrays, samples=samples, seed=seed)[""] for arrays in (before, after)]
    plain, value = (None if math.isnan(one) else one for one in values)
    found = {"plain": plain, "value": value, **score_interval(drawn[1], metric, len(trials))}
    return {**found, "difference": interval(drawn[1] - drawn[0])}


def _flips(trial: Trial, task: Task) -> bool:
    """Say whether the answer is another one; entities are the same where they moved with their text."""
    before, after = trial.before, trial.after
    if task.name == "ner":
        edits = trial.changed.edits["text"]
        old = {(moved(one["start"], edits), moved(one["end"], edits), one["label"]) for one in before["entities"]}
        return old != {(one["start"], one["end"], one["label"]) for one in after["entities"]}
    if task.name == "question_answering":
        return words(before["answer"]) != words(after["answer"])
    if "labels" in before:
        return sorted(before["labels"]) != sorted(after["labels"])
    return bool(before["label"] != after["label"])


def _example(trial: Trial, task: Task, schema: Any) -> dict[str, Any]:
    columns = list(trial.changed.edits)
    return {
        "id": trial.row["id"],
        "before": " | ".join(trial.row[name] for name in columns),
        "after": " | ".join(trial.changed.row[name] for name in columns),
        "gold": task.gold(trial.row, schema),
        "answer_before": _answer(trial.before, task),
        "answer_after": _answer(trial.after, task),
    }


def _answer(prediction: Mapping[str, Any], task: Task) -> Any:
    if task.name == "ner":
        return [f"{one['text']} ({one['label']})" for one in prediction["entities"]]
    return next(prediction[key] for key in ("answer", "labels", "label") if key in prediction)
