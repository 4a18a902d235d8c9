"""The parity certificate: the differences between an export and its run in outputs, answers and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ft_toolkit.core import environment
from ft_toolkit.core.export_records import Certificate, ChangedAnswers, DropCheck, LayerChoice, MetricDifference, Timing
from ft_toolkit.core.run_records import EvaluationResults
from ft_toolkit.evaluation.compare.differences import compare_metrics
from ft_toolkit.evaluation.compare.examples import read_examples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, common_metrics
from ft_toolkit.evaluation.compare.gate_checks import Drop, check_drop
from ft_toolkit.evaluation.statistics.paired_shares import tango
from ft_toolkit.evaluation.statistics.shares import wilson
from ft_toolkit.tasks.base import Graph, Prediction, Task

# One-sided: a larger drop is excluded with 95% confidence.
ALPHA = 0.05
# Numbers that differ by less, relative above 1, are the same answer of a regression.
SAME_NUMBER = 1e-3
PACKAGES = ("ft-toolkit", "torch", "transformers", "tokenizers", "numpy", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Outputs:
    """The outputs of the run and of the export for the same features: one array per feature and output."""

    run: list[tuple[np.ndarray, ...]]
    export: list[tuple[np.ndarray, ...]]

    @property
    def largest_difference(self) -> float:
        """The largest difference of an output."""
        return max(
            float(np.abs(ours - theirs).max(initial=0))
            for pair in zip(self.run, self.export, strict=True)
            for ours, theirs in zip(*pair, strict=True)
        )

    @property
    def scale(self) -> float:
        """The standard deviation of the outputs of the run."""
        return float(np.concatenate([array.ravel() for arrays in self.run for array in arrays]).std())


@dataclass(frozen=True)
class Measured:
    """The parts of a certificate that need the models.

    `features` is the number of inputs. `outputs` are those of the model; of a language model, the negative log-likelihoods of
    the tokens; None for a task whose only outputs are texts. `graph_difference` is the largest difference of the float32 graph
    from the weights, None without a graph, and `layers` the choice of layers in float32.
    """

    features: int
    outputs: Outputs | None
    run_precision: str
    graph_difference: float | None
    layers: LayerChoice | None
    run_megabytes: float
    timing: Timing | None


def raw_outputs(graph: Graph) -> Graph:
    """Return the graph of a task with the outputs themselves as values: a tuple of arrays per feature, without padding."""

    def values(outputs: Mapping[str, np.ndarray], lengths: Sequence[int], schema: Any) -> list[Any]:
        stop = lengths if graph.per_token else [None] * len(lengths)
        return [tuple(outputs[name][i][:n].copy() for name in graph.outputs) for i, n in enumerate(stop)]

    return Graph(graph.outputs, values, graph.per_token)


def same_answer(task: Task, settings: Any, schema: Any, run: Prediction, export: Prediction) -> bool:
    """Return whether two predictions give the same answer, by the rule of the robustness check of the task.

    Numbers are the same answer if they differ by less than SAME_NUMBER.
    """
    ours, theirs = task.answer(run, schema), task.answer(export, schema)
    robustness = task.robustness(settings)
    if robustness is not None:
        return robustness.same_answer(ours, theirs, dict.fromkeys(task.columns, ()))
    if isinstance(ours, float) and isinstance(theirs, float):
        return abs(ours - theirs) < SAME_NUMBER * max(1.0, abs(ours))
    return bool(ours == theirs)


def certify(
    folder: Path,
    results: EvaluationResults,
    run_folder: Path,
    split: str,
    measured: Measured,
    drop: "AllowedDrop | None",
) -> Certificate:
    """Compare the scored examples of an export and of its run on a split.

    `folder` is the folder of the export, which has predictions.jsonl and examples.npz, and `results` the content of its
    results.json, which is not written yet. Raises UsageError for an unknown metric.
    """
    assert results.export is not None, "the results of an export"
    of_run, examples = read_examples(run_folder, split), read_examples(folder, split, results)
    run = FinishedRun("the run", run_folder, of_run, of_run.results, None)
    export = FinishedRun("the export", folder, examples, results, None)
    names, _ = common_metrics([run, export])
    rows = compare_metrics([run, export], names)
    metrics = {}
    for row in rows:
        before, after, difference = row.scores[run.label], row.scores[export.label], row.differences[export.label]
        metrics[row.name] = MetricDifference(
            run=before["value"],
            export=after["value"],
            difference=difference.value,
            low=difference.low,
            high=difference.high,
            level=difference.level,
            test=difference.test,
        )
    machine = environment.machine()
    return Certificate(
        format=results.export.format,
        split=split,
        fingerprint=examples.fingerprint,
        rows=len(examples.records),
        features=measured.features,
        largest_difference=None if measured.outputs is None else measured.outputs.largest_difference,
        output_scale=None if measured.outputs is None else measured.outputs.scale,
        run_precision=measured.run_precision,
        graph_difference=measured.graph_difference,
        changed_answers=_changed_answers(run, export),
        metrics=metrics,
        max_drop=None if drop is None else _check_drop(run, export, drop),
        layers=measured.layers,
        run_megabytes=round(measured.run_megabytes, 3),
        export_megabytes=round(folder_megabytes(folder), 3),
        timing=measured.timing,
        machine={key: machine.get(key) for key in ("system", "processor", "cores", "memory_gib", "python")},
        versions=environment.versions(PACKAGES),
    )


@dataclass(frozen=True)
class AllowedDrop:
    """The largest allowed drop of a metric; None is the main metric."""

    allowed: float
    metric: str | None = None


def allowed_changes(drop: float, rows: int) -> float | None:
    """Return the share of answers that may change so that `rows` rows can exclude a larger drop, if the true drop is 0.

    With a share s of changed answers, the standard error of the drop is sqrt(s / rows). None if the rows are too few even
    without a changed answer; the share then decides nothing.
    """
    if tango(0, 0, rows, tail=ALPHA)[1] > drop:
        return None
    return rows * (drop / NormalDist().inv_cdf(1 - ALPHA)) ** 2


def _changed_answers(run: FinishedRun, export: FinishedRun) -> ChangedAnswers:
    ours, theirs = run.examples, export.examples
    n = len(ours.records)
    count = sum(
        not same_answer(ours.task, ours.settings, ours.schema, before, after)
        for before, after in zip(ours.records, theirs.records, strict=True)
    )
    low, high = wilson(count, n)
    return ChangedAnswers(count=count, rows=n, share=count / n, low=low, high=high)


def _check_drop(run: FinishedRun, export: FinishedRun, drop: AllowedDrop) -> DropCheck:
    check, _ = check_drop(Drop(run, drop.metric, drop.allowed, ALPHA, strict=True), export, smoke=False)
    figures = check.figures
    return DropCheck(
        metric=check.name.partition(" ")[0],
        allowed=drop.allowed,
        drop=figures.get("drop"),
        upper_bound=figures.get("below"),
        passed=check.passed,
        rows_needed=figures.get("rows_needed"),
        text=check.text,
    )


def folder_megabytes(folder: Path) -> float:
    """Return the size of the model folder of a run or an export in megabytes (10^6 bytes)."""
    model = folder / "model"
    return sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6
