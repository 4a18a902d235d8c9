"""The robustness check: how many answers small changes of the texts change, and how much the score changes. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.data.augment.perturb import ChangedRow
from ft_toolkit.evaluation.statistics.scores import ScoringSetup, score_interval
from ft_toolkit.evaluation.statistics.shares import wilson
from ft_toolkit.evaluation.statistics.significance import difference_interval, pair_scores
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import ChangeKind, Robustness, Row, Task

EXAMPLES_SHOWN = 20


@dataclass(frozen=True)
class Trial:
    """A row before and after a change, with the model's prediction for each."""

    row: Row
    changed: ChangedRow
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def robustness_of(task: Task, settings: Any) -> Robustness:
    """Return the task's robustness check. Raises UsageError for a task, or task settings, without one."""
    robustness = task.robustness(settings)
    if robustness is None:
        changed = ", ".join(f"{key}={value}" for key, value in settings.model_dump(exclude_defaults=True).items())
        available = [name for name, other in find_tasks().items() if other.robustness(other.settings(name=name))]
        raise UsageError(
            f"--robustness is not available for {task.name}{f' with {changed}' if changed else ''}: small changes of the text "
            f"may change the reference answer, or answers always change a little. Available for: {one_of(available)}"
        )
    return robustness


def judge(
    kind: ChangeKind, trials: Sequence[Trial], n_rewritten: int, robustness: Robustness, setup: ScoringSetup
) -> dict[str, Any]:
    """Return the record of one kind of change for results.json.

    `trials` are the rows whose tokens changed, with their clusters in `setup`; `n_rewritten` counts the rows whose
    text changed. The record is {kind, rewritten, changed, flipped, flip_rate: {value, low, high}, metric: {plain, value,
    low, high, difference: {low, high}}, examples}. `flip_rate` has Wilson's 95% interval. `metric` is the main metric on
    the changed rows, `plain` before and `value` after the change; `difference` is the paired 95% interval of after minus
    before.
    """
    record: dict[str, Any] = {"kind": kind, "rewritten": n_rewritten, "changed": len(trials), "flipped": 0}
    undefined = {"value": None, "low": None, "high": None}
    if not trials:
        metric = {"plain": None, **undefined, "difference": {"low": None, "high": None}}
        return {**record, "flip_rate": undefined, "metric": metric, "examples": []}
    flipped = [trial for trial in trials if not _has_same_answer(trial, robustness, setup)]
    low, high = wilson(len(flipped), len(trials))
    return {
        **record,
        "flipped": len(flipped),
        "flip_rate": {"value": len(flipped) / len(trials), "low": low, "high": high},
        "metric": _score_change(trials, setup),
        "examples": [_example(trial, setup) for trial in flipped[:EXAMPLES_SHOWN]],
    }


def _score_change(trials: Sequence[Trial], setup: ScoringSetup) -> dict[str, Any]:
    """Return the main metric before and after the change, with intervals."""
    metric, to_arrays = setup.metrics[setup.main_metric], setup.task.to_arrays
    before = to_arrays([trial.before for trial in trials], [trial.row for trial in trials], setup.schema)
    after = to_arrays([trial.after for trial in trials], [trial.changed.row for trial in trials], setup.schema)
    plain, value = (None if math.isnan(score := metric.fn(*arrays)) else score for arrays in (before, after))
    # the same seed draws the same examples for both, so that the values are paired
    plain_samples, samples = (
        resample({"": metric.fn}, *arrays, samples=setup.samples, seed=setup.seed, clusters=setup.clusters)[""]
        for arrays in (before, after)
    )
    change = difference_interval(pair_scores(metric, after, before, lambda: samples - plain_samples, setup.clusters))
    return {
        "plain": plain,
        "value": value,
        **score_interval(metric, *after, samples, setup.clusters),
        "difference": {"low": change.low, "high": change.high},
    }


def _has_same_answer(trial: Trial, robustness: Robustness, setup: ScoringSetup) -> bool:
    before, after = (setup.task.answer(prediction, setup.schema) for prediction in (trial.before, trial.after))
    return robustness.same_answer(before, after, trial.changed.edits)


def _example(trial: Trial, setup: ScoringSetup) -> dict[str, Any]:
    columns = list(trial.changed.edits)
    return {
        "id": trial.row["id"],
        "before": " | ".join(trial.row[name] for name in columns),
        "after": " | ".join(trial.changed.row[name] for name in columns),
        "gold": setup.task.reference_answer(trial.row, setup.schema),
        "answer_before": _shown_answer(trial.before, setup),
        "answer_after": _shown_answer(trial.after, setup),
    }


def _shown_answer(prediction: Mapping[str, Any], setup: ScoringSetup) -> Any:
    answer = setup.task.answer(prediction, setup.schema)
    return setup.task.answer_texts(answer) if isinstance(answer, list) else answer
