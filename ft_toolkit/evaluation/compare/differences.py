"""Scores of several runs on the same examples, and how significantly each run differs from the first one (the base)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.evaluation.compare.examples import ScoredExamples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun
from ft_toolkit.evaluation.statistics.scores import finite, interval, score_interval
from ft_toolkit.evaluation.statistics.significance import (
    Outcome,
    bootstrap_p,
    holm,
    judge_difference,
    mcnemar,
    smallest_detectable_difference,
)

SAMPLES = 2000
SEED = 13
# (examples of a run, positions of the examples to score) -> one score per row of the table, shape (rows,).
ScoreRows = Callable[[ScoredExamples, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """The score of a run minus the score of the base, with its 95% interval.

    `p` is the p-value of `test`; `corrected` is the same after Holm's correction for all differences of the table.
    `detectable` is the smallest difference that these examples would show for such a pair (5% level, 80% power).
    """

    value: float | None
    low: float | None
    high: float | None
    test: str
    p: float | None
    corrected: float | None
    outcome: Outcome
    detectable: float | None


@dataclass(frozen=True)
class ComparedScore:
    """A row of a table: one score (a metric, the F1 of a class, or the metric on a slice) of every run.

    `scores` maps the label of each run to {value, low, high}, `differences` the label of each run but the base to its
    difference. `n` is the number of examples.
    """

    name: str
    n: int
    greater_is_better: bool
    scores: dict[str, dict[str, float | None]]
    differences: dict[str, Difference]


def compare_metrics(runs: Sequence[FinishedRun], metrics: Sequence[str]) -> list[ComparedScore]:
    """Return a table with a row per metric, on all examples."""
    everything = np.arange(len(runs[0].examples.records))
    rows = [_metric_row(runs, metric, metric, len(everything)) for metric in metrics]
    return _table(_measure(runs, rows, _score_by_metrics(metrics), everything))


def compare_slices(
    runs: Sequence[FinishedRun], metric: str, positions_of: Mapping[str, np.ndarray]
) -> list[ComparedScore]:
    """Return a table with a row per slice; `positions_of` maps the name of a slice to the positions of its examples."""
    measured = []
    for name, positions in positions_of.items():
        row = _metric_row(runs, metric, name, len(positions))
        measured += _measure(runs, [row], _score_by_metrics([metric]), positions)
    return _table(measured)


def compare_classes(runs: Sequence[FinishedRun]) -> list[ComparedScore]:
    """Return a table with the F1 of each class that all runs have; an empty one for a task without classes."""
    everything = np.arange(len(runs[0].examples.records))
    tables = [_class_table(run.examples, everything) for run in runs]
    if not all(table and "f1" in table[0] for table in tables):
        return []
    shared = set.intersection(*({row["label"] for row in table} for table in tables))
    labels = [row["label"] for row in tables[0] if row["label"] in shared]

    def score(examples: ScoredExamples, positions: np.ndarray) -> np.ndarray:
        f1 = {row["label"]: row["f1"] for row in _class_table(examples, positions)}
        return np.array([f1[label] for label in labels])

    support = {row["label"]: row["support"] for row in tables[0]}
    rows = [_Row(str(label), support[label], greater_is_better=True, metric=None) for label in labels]
    return _table(_measure(runs, rows, score, everything))


@dataclass(frozen=True)
class _Row:
    """A row of a table before it is measured. `metric` is None for the F1 of a class."""

    name: str
    n: int
    greater_is_better: bool
    metric: str | None


@dataclass(frozen=True)
class _TestedDifference:
    """The value of a difference, its values on the bootstrap resamples, and the p-value before the correction."""

    value: float
    resamples: np.ndarray
    test: str
    p: float | None


@dataclass(frozen=True)
class _MeasuredRow:
    row: _Row
    scores: dict[str, dict[str, float | None]]
    differences: dict[str, _TestedDifference]


def _metric_row(runs: Sequence[FinishedRun], metric: str, name: str, n: int) -> _Row:
    return _Row(name, n, runs[0].examples.metrics[metric].greater_is_better, metric)


def _score_by_metrics(metrics: Sequence[str]) -> ScoreRows:
    def score(examples: ScoredExamples, positions: np.ndarray) -> np.ndarray:
        arrays = examples.predictions[positions], examples.references[positions]
        return np.array([examples.metrics[name].fn(*arrays) for name in metrics])

    return score


def _class_table(examples: ScoredExamples, positions: np.ndarray) -> list[dict[str, Any]]:
    details = examples.task.details(examples.predictions[positions], examples.references[positions], examples.schema)
    table: list[dict[str, Any]] = details.get("per_class") or []
    return table


def _measure(
    runs: Sequence[FinishedRun], rows: Sequence[_Row], score: ScoreRows, positions: np.ndarray
) -> list[_MeasuredRow]:
    """Score every run on the examples at `positions` and on the same bootstrap resamples of them."""
    base = runs[0]
    # The smallest p-value of a bootstrap is 2 / resamples: a table of many rows needs one that survives the correction.
    samples = max(SAMPLES, 50 * len(rows) * (len(runs) - 1))
    rng = np.random.default_rng(SEED)
    values = {run.label: score(run.examples, positions) for run in runs}
    draws: dict[str, list[np.ndarray]] = {run.label: [] for run in runs}
    for _ in range(samples):
        drawn = positions[rng.integers(0, len(positions), len(positions))]
        for run in runs:
            draws[run.label].append(score(run.examples, drawn))
    resamples = {label: np.array(scores) for label, scores in draws.items()}
    measured = []
    for k, row in enumerate(rows):
        metric = None if row.metric is None else base.examples.metrics[row.metric]
        scores = {
            label: {"value": finite(value[k]), **score_interval(resamples[label][:, k], metric, len(positions))}
            for label, value in values.items()
        }
        differences = {}
        for run in runs[1:]:
            resampled = resamples[run.label][:, k] - resamples[base.label][:, k]
            test, p = _test(base, run, row.metric, positions) or ("paired bootstrap", bootstrap_p(resampled))
            value = values[run.label][k] - values[base.label][k]
            differences[run.label] = _TestedDifference(value, resampled, test, p)
        measured.append(_MeasuredRow(row, scores, differences))
    return measured


def _test(base: FinishedRun, run: FinishedRun, metric: str | None, positions: np.ndarray) -> tuple[str, float] | None:
    """Return name and p-value of McNemar's test, None where the metric is not the share of correct examples."""
    if metric is None:
        return None
    base_correct, run_correct = base.correct_examples(metric), run.correct_examples(metric)
    if base_correct is None or run_correct is None:
        return None
    a, b = base_correct[positions], run_correct[positions]
    return "McNemar's exact test", mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))


def _table(measured: Sequence[_MeasuredRow]) -> list[ComparedScore]:
    """Return the finished rows of one table: the p-values of all its differences are corrected together."""
    tests = [test for line in measured for test in line.differences.values()]
    corrected = iter(holm([test.p for test in tests]))
    table = []
    for line in measured:
        row = line.row
        differences = {
            label: _judged(test, next(corrected), row.greater_is_better) for label, test in line.differences.items()
        }
        table.append(ComparedScore(row.name, row.n, row.greater_is_better, line.scores, differences))
    return table


def _judged(test: _TestedDifference, corrected: float | None, greater_is_better: bool) -> Difference:
    return Difference(
        value=finite(test.value),
        **interval(test.resamples),
        test=test.test,
        p=test.p,
        corrected=corrected,
        outcome=judge_difference(test.value, corrected, greater_is_better=greater_is_better),
        detectable=smallest_detectable_difference(test.resamples),
    )
