"""Finished runs side by side: read from their folders, refused where comparing them would say nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.evaluation.compare.examples import ScoredExamples, read_examples, read_results
from ft_toolkit.metrics import language


@dataclass(frozen=True)
class FinishedRun:
    """One finished run: `label` tells it from the others, `results` are those of its examples (a seeds folder's best).

    `seeds` is the seeds folder's results.json, None for a single run. `given` is the folder as it was named.
    """

    label: str
    given: Path
    examples: ScoredExamples
    results: dict[str, Any]
    seeds: dict[str, Any] | None

    @cached_property
    def per_example(self) -> dict[str, np.ndarray]:
        """Each metric on each example by itself, shape (n,); NaN where it means nothing for one example.

        An example that is entirely right has the metric's best value, also where the metric itself would be 0/0.
        """
        found = self.examples
        p, r = found.predictions, found.references
        perfect = (p == r).reshape(len(p), -1).all(axis=1)
        return {
            name: np.array(
                [metric.best if perfect[i] else metric.fn(p[i : i + 1], r[i : i + 1]) for i in range(len(p))]
            )
            for name, metric in found.metrics.items()
        }

    def right(self, metric: str) -> np.ndarray | None:
        """Return which examples are right where the metric is the share of those, else None."""
        values = self.per_example[metric]
        whole = self.examples.metrics[metric].fn(self.examples.predictions, self.examples.references)
        is_share = np.isin(values, (0.0, 1.0)).all() and abs(values.mean() - whole) < 1e-9
        return values == 1 if is_share else None


def read_runs(folders: Sequence[Path], split: str | None = None) -> list[FinishedRun]:
    """Return finished runs, each with the examples of one split (test where there is one). Raises UsageError."""
    resolved = [folder.resolve() for folder in folders]
    runs: list[FinishedRun] = []
    for folder, path in zip(folders, resolved, strict=True):
        first = read_results(folder)
        # a last run without test rows would otherwise be held against another's test rows
        examples = read_examples(folder, split or (runs[0].examples.split if runs else None))
        label = path.name if [one.name for one in resolved].count(path.name) == 1 else str(folder)
        seeds = first if "best" in first else None
        runs.append(FinishedRun(label, folder, examples, read_results(examples.folder), seeds))
    return runs


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Raise UsageError unless all runs are different ones of the same task, scored on the same examples."""
    base = runs[0]
    for number, run in enumerate(runs[1:], 1):
        one, other = base.examples, run.examples
        for earlier in runs[:number]:
            if earlier.examples.folder.resolve() == other.folder.resolve():
                raise UsageError(f"{run.given} and {earlier.given} are the same run; name two different ones")
        if one.task.name != other.task.name:
            raise UsageError(
                f"{base.given} is a run of {one.task.name}, {run.given} of {other.task.name}; runs of one task can be compared"
            )
        if one.fingerprint != other.fingerprint or [r["id"] for r in one.records] != [r["id"] for r in other.records]:
            raise UsageError(
                f"{base.given} and {run.given} were scored on different {one.split} rows ({len(one.records):,}, fingerprint "
                f"{one.fingerprint[:12]}; {len(other.records):,}, fingerprint {other.fingerprint[:12]}). Score both on the "
                "same rows: run one of the recipes again with the other's data"
            )
        for what in ("problem_type", "objective"):
            found = [getattr(some.schema, what, None) or getattr(some.settings, what, None) for some in (one, other)]
            if found[0] != found[1]:
                raise UsageError(
                    f"{base.given} has {what} {found[0]}, {run.given} {found[1]}: their scores do not mean the same"
                )


def common_metrics(runs: Sequence[FinishedRun]) -> tuple[list[str], list[str]]:
    """Return the metrics that mean the same for all runs, in the base's order, and notes on those that do not."""
    base, notes = runs[0].examples, []
    names = [name for name in base.metrics if all(name in run.examples.metrics for run in runs)]
    labels = [tuple(getattr(run.examples.schema, "labels", ())) for run in runs]
    binary = [name for name in names if name.endswith("_binary")]
    if binary and len(set(labels)) > 1:
        names = [name for name in names if name not in binary]
        notes.append("The runs order the labels differently, so scores of the positive class are left out.")
    if base.task.name == "language_modelling":
        tokens = [run.examples.predictions[:, language.TOKENS] for run in runs]
        if any(not np.array_equal(tokens[0], other, equal_nan=True) for other in tokens[1:]):
            names = [name for name in names if name == "bits_per_byte"]
            notes.append("The runs cut the texts into different tokens, so only bits per byte can be compared.")
    return names, notes


def choose_metric(wanted: str | None, runs: Sequence[FinishedRun]) -> str:
    """Return the metric to compare by: the one asked for, else the base's main metric. Raises UsageError."""
    names, notes = common_metrics(runs)
    main = runs[0].examples.main_metric
    chosen = wanted or (main if main in names else names[0])
    if chosen not in names:
        why = "".join(f" {note}" for note in notes)
        raise UsageError(f"no metric '{chosen}'; allowed: {one_of(names)}.{did_you_mean(chosen, names)}{why}")
    return chosen


def model_megabytes(run: FinishedRun) -> float | None:
    """Return the size of the model folder in megabytes (10^6 bytes), None where it is gone."""
    folder = run.examples.folder / "model"
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def base_model_of(run: FinishedRun) -> str | None:
    """Return the base model that the model folder needs beside it, None for a whole model."""
    config = run.examples.folder / "model" / "adapter_config.json"
    if not config.is_file():
        return None
    return str(json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path"))
