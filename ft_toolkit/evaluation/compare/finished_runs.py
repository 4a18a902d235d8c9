"""Read finished runs from their folders, and check that they can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, MODEL
from ft_toolkit.core.run_records import (
    EvaluationResults,
    RunResults,
    SeedsResults,
    read_contract,
    read_recipe,
    read_results,
)
from ft_toolkit.evaluation.compare.examples import ScoredExamples, read_examples
from ft_toolkit.evaluation.compare.metric_names import find_metric
from ft_toolkit.evaluation.statistics.shares import right_examples
from ft_toolkit.metrics.clusters import Clusters
from ft_toolkit.tasks.base import Comparability, ScoredRun


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, or an evaluation, with the scored examples of one split.

    `label` is unique among the runs that were read together. `path` is the folder as the user named it. For a multi-seed run,
    `examples` and `results` belong to its best seed, and `seeds` holds its own results.json; it is None otherwise.
    """

    label: str
    path: Path
    examples: ScoredExamples
    results: RunResults | EvaluationResults
    seeds: SeedsResults | None

    @cached_property
    def recipe(self) -> dict[str, Any] | None:
        """The resolved recipe; None for an evaluation, which has none. Raises RunFolderError when the file is damaged."""
        return read_recipe(self.examples.folder)

    @cached_property
    def per_example(self) -> dict[str, np.ndarray]:
        """Each metric on each example alone, shape (n,); NaN where it is undefined on a single example.

        An example that is entirely right has the best value of the metric, also where the metric itself would be 0/0.
        """
        p, r = self.examples.predictions, self.examples.references
        perfect = (p == r).reshape(len(p), -1).all(axis=1)
        return {
            name: np.array(
                [metric.best if perfect[i] else metric.fn(p[i : i + 1], r[i : i + 1]) for i in range(len(p))]
            )
            for name, metric in self.examples.metrics.items()
        }

    @cached_property
    def _correct(self) -> dict[str, np.ndarray | None]:
        examples = self.examples
        return {
            name: right_examples(metric, examples.predictions, examples.references)
            for name, metric in examples.metrics.items()
        }

    def correct_examples(self, metric: str) -> np.ndarray | None:
        """Return which examples are correct, shape (n,), if the metric is the share of correct examples; else None."""
        return self._correct[metric]


def read_runs(folders: Sequence[Path], split: str | None = None) -> list[FinishedRun]:
    """Return finished runs, each with the examples of one split.

    `split` None takes the test split of the first run, or validation if it has none. Raises UsageError for a folder that is not
    a finished run or has no such split, and RunFolderError for a damaged file.
    """
    resolved = [folder.resolve() for folder in folders]
    runs: list[FinishedRun] = []
    for folder, path in zip(folders, resolved, strict=True):
        results = read_results(folder)
        # All runs use the split of the first one: a validation split is never compared with a test split.
        examples = read_examples(folder, split or (runs[0].examples.split if runs else None))
        label = path.name if [other.name for other in resolved].count(path.name) == 1 else str(folder)
        seeds = results if isinstance(results, SeedsResults) else None
        runs.append(FinishedRun(label, folder, examples, examples.results, seeds))
    return runs


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Raise UsageError unless all runs are different runs of one task that were scored on the same examples."""
    base = runs[0]
    for number, run in enumerate(runs[1:], 1):
        ours, theirs = base.examples, run.examples
        for earlier in runs[:number]:
            if earlier.examples.folder.resolve() == theirs.folder.resolve():
                raise UsageError(f"{run.path} and {earlier.path} are the same run. Name two different runs")
        if ours.task.name != theirs.task.name:
            raise UsageError(
                f"{base.path} is a run of {ours.task.name}, {run.path} is a run of {theirs.task.name}. Only runs of the "
                "same task can be compared"
            )
        if ours.fingerprint != theirs.fingerprint or _ids(ours) != _ids(theirs):
            raise UsageError(
                f"{base.path} and {run.path} were scored on different {ours.split} rows ({len(ours.records):,} rows with "
                f"fingerprint {ours.fingerprint[:12]}; {len(theirs.records):,} rows with fingerprint "
                f"{theirs.fingerprint[:12]}). Run one of the recipes again with the data of the other"
            )
        if (refusal := _comparability(base, run).refusal) is not None:
            raise UsageError(f"{base.path} and {run.path} cannot be compared: {refusal}")


def clusters_of(runs: Sequence[FinishedRun]) -> Clusters | None:
    """Return the clusters of the examples, which all runs share, from the first run that has them.

    A run of an older version, or with other settings, may have none.
    """
    return next((run.examples.clusters for run in runs if run.examples.clusters is not None), None)


def _comparability(base: FinishedRun, run: FinishedRun) -> Comparability:
    first, other = (
        ScoredRun(examples.settings, examples.schema, examples.predictions)
        for examples in (base.examples, run.examples)
    )
    return base.examples.task.comparability(first, other)


def _ids(examples: ScoredExamples) -> list[str]:
    return [record["id"] for record in examples.records]


def common_metrics(runs: Sequence[FinishedRun]) -> tuple[list[str], list[str]]:
    """Return the metrics that can be compared between all runs, in the order of the first run, and notes on the others."""
    base, notes = runs[0].examples, []
    names = [name for name in base.metrics if all(name in run.examples.metrics for run in runs)]
    for run in runs[1:]:
        comparability = _comparability(runs[0], run)
        if any(name in names for name in comparability.incomparable):
            names = [name for name in names if name not in comparability.incomparable]
            notes.append(comparability.note)
    return names, notes


def choose_metric(name: str | None, runs: Sequence[FinishedRun]) -> tuple[str, list[str]]:
    """Return the metric to compare by, and a note if `name` is a short name. Raises UsageError for an unknown metric.

    `name` None takes the main metric of the first run, or another one if the runs do not share it.
    """
    names, notes = common_metrics(runs)
    main = runs[0].examples.results.main_metric
    if name is None:
        return main if main in names else names[0], []
    try:
        return find_metric(name, {each: runs[0].examples.metrics[each] for each in names}, "--metric")
    except UsageError as error:
        raise UsageError(" ".join([str(error), *notes])) from None


def model_megabytes(run: FinishedRun) -> float | None:
    """Return the size of the model folder in megabytes (10^6 bytes), None if the folder was deleted."""
    folder = run.examples.folder / MODEL
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def base_model_of(run: FinishedRun) -> str | None:
    """Return the base model that an adapter in the model folder needs, None if the folder holds a full model."""
    folder = run.examples.folder / MODEL
    base = read_contract(folder).base_model if (folder / ADAPTER_CONFIG).is_file() else None
    return None if base is None else base.name
