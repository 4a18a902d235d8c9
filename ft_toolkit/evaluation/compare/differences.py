"""Scores of several runs on the same examples, and the difference of each run from the first one (the base)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ft_toolkit.evaluation.compare.examples import ScoredExamples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, clusters_of
from ft_toolkit.evaluation.statistics.scores import finite, score_interval, varying_interval
from ft_toolkit.evaluation.statistics.significance import (
    Outcome,
    PairedScores,
    detectable_difference,
    difference_interval,
    enough_resamples,
    judge_interval,
    pair_clustered,
    paired_counts,
)
from ft_toolkit.metrics.clusters import Clusters, draw_examples

SAMPLES = 2000
SEED = 13
# (examples of a run, positions of the examples to score) -> one score per row of the table, shape (rows,).
ScoreRows = Callable[[ScoredExamples, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """The score of a run minus the score of the base, with its interval at the confidence level `level`.

    `p` is the p-value of `test`; `corrected` is the same, corrected for the number of runs. `detectable` is the smallest
    difference that these examples would show for such a pair (5% level, 80% power). In an exploratory table `p`, `corrected`
    and `outcome` are None and the level is 0.95.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    test: str
    p: float | None
    corrected: float | None
    outcome: Outcome | None
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


def compare_main_metric(runs: Sequence[FinishedRun], metric: str) -> ComparedScore:
    """Return the row of the metric that decides which runs differ from the base.

    The intervals of the differences are simultaneous, and a difference is significant exactly when its interval excludes 0.
    """
    everything = np.arange(len(runs[0].examples.records))
    row = _metric_row(runs, metric, metric, len(everything))
    return _measure(runs, [row], _score_by_metrics([metric]), everything, exploratory=False)[0]


def compare_metrics(runs: Sequence[FinishedRun], metrics: Sequence[str]) -> list[ComparedScore]:
    """Return an exploratory table with a row per metric, on all examples."""
    everything = np.arange(len(runs[0].examples.records))
    rows = [_metric_row(runs, metric, metric, len(everything)) for metric in metrics]
    return _measure(runs, rows, _score_by_metrics(metrics), everything)


def compare_slices(
    runs: Sequence[FinishedRun], metric: str, positions_of: Mapping[str, np.ndarray]
) -> list[ComparedScore]:
    """Return an exploratory table with a row per slice.

    `positions_of` maps the name of a slice to the positions of its examples.
    """
    measured = []
    for name, positions in positions_of.items():
        row = _metric_row(runs, metric, name, len(positions))
        measured += _measure(runs, [row], _score_by_metrics([metric]), positions)
    return measured


def compare_classes(runs: Sequence[FinishedRun]) -> list[ComparedScore]:
    """Return an exploratory table with the F1 of each class that all runs have; an empty one for a task without classes."""
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
    return _measure(runs, rows, score, everything)


@dataclass(frozen=True)
class _Row:
    """A row of a table before it is measured. `metric` is None for the F1 of a class."""

    name: str
    n: int
    greater_is_better: bool
    metric: str | None


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
    runs: Sequence[FinishedRun],
    rows: Sequence[_Row],
    score: ScoreRows,
    positions: np.ndarray,
    *,
    exploratory: bool = True,
) -> list[ComparedScore]:
    """Score every run on the examples at `positions` and on the same bootstrap resamples of them, or of their clusters."""
    base, comparisons = runs[0], 1 if exploratory else len(runs) - 1
    all_clusters = clusters_of(runs)
    clusters = None if all_clusters is None else all_clusters.of(positions)
    values = {run.label: score(run.examples, positions) for run in runs}
    resamples = _resample(runs, score, positions, clusters)
    measured = []
    for k, row in enumerate(rows):
        scores = {
            run.label: {
                "value": finite(values[run.label][k]),
                **_interval(run.examples, row.metric, positions, resamples[run.label][:, k], clusters),
            }
            for run in runs
        }
        differences = {}
        for run in runs[1:]:
            difference = values[run.label][k] - values[base.label][k]
            resampled = resamples[run.label][:, k] - resamples[base.label][:, k]
            counts = _paired_counts(run, base, row.metric, positions)
            best = 1.0 if row.metric is None else base.examples.metrics[row.metric].best
            if clusters is None:
                pair = PairedScores(difference, resampled, counts, best)
            else:
                without = partial(_score_difference, score, run, base, positions, k)
                mean_best = best if row.metric is None or base.examples.metrics[row.metric].is_mean else None
                pair = pair_clustered(difference, resampled, mean_best, clusters, without)
            differences[run.label] = _difference(pair, comparisons, row, exploratory=exploratory)
        measured.append(ComparedScore(row.name, row.n, row.greater_is_better, scores, differences))
    return measured


def samples_drawn(runs: int) -> int:
    """Return the number of bootstrap resamples that a comparison of this number of runs draws."""
    return enough_resamples(SAMPLES, runs - 1)


def _resample(
    runs: Sequence[FinishedRun], score: ScoreRows, positions: np.ndarray, clusters: Clusters | None
) -> dict[str, np.ndarray]:
    """Return the scores on resamples by the label of the run, shape (samples, rows of the table)."""
    rng = np.random.default_rng(SEED)
    draws: dict[str, list[np.ndarray]] = {run.label: [] for run in runs}
    for _ in range(samples_drawn(len(runs))):
        drawn = positions[draw_examples(rng, len(positions), clusters)]
        for run in runs:
            draws[run.label].append(score(run.examples, drawn))
    return {label: np.array(scores) for label, scores in draws.items()}


def _score_difference(
    score: ScoreRows, run: FinishedRun, base: FinishedRun, positions: np.ndarray, k: int, rows: np.ndarray
) -> float:
    """Return the difference of row k of the table on some of the examples at `positions`."""
    return float(score(run.examples, positions[rows])[k] - score(base.examples, positions[rows])[k])


def _interval(
    examples: ScoredExamples,
    metric: str | None,
    positions: np.ndarray,
    resamples: np.ndarray,
    clusters: Clusters | None,
) -> dict[str, float | None]:
    if metric is None:
        return varying_interval(resamples)
    arrays = examples.predictions[positions], examples.references[positions]
    return score_interval(examples.metrics[metric], *arrays, resamples, clusters)


def _paired_counts(
    run: FinishedRun, base: FinishedRun, metric: str | None, positions: np.ndarray
) -> tuple[int, int, int] | None:
    """Return the counts of `paired_counts` on some examples, None where the metric is not the share of right examples."""
    if metric is None:
        return None
    right, base_right = run.correct_examples(metric), base.correct_examples(metric)
    if right is None or base_right is None:
        return None
    return paired_counts(right[positions], base_right[positions])


def _difference(pair: PairedScores, comparisons: int, row: _Row, *, exploratory: bool) -> Difference:
    interval = difference_interval(pair, comparisons=comparisons)
    outcome = judge_interval(interval.low, interval.high, greater_is_better=row.greater_is_better)
    return Difference(
        value=finite(pair.difference),
        low=interval.low,
        high=interval.high,
        level=interval.level,
        test=interval.test,
        p=None if exploratory else interval.p,
        corrected=None if exploratory else interval.corrected,
        outcome=None if exploratory else outcome,
        detectable=detectable_difference(pair, comparisons),
    )
