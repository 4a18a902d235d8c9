"""examples.npz: the numbers per example that a run's scores were computed from, and everything of a run that is scored again.

With them the scores of any part of the examples, and the difference of two runs on the same examples, need no model.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task, applicable_metrics

EXAMPLES = "examples.npz"
Arrays = tuple[np.ndarray, np.ndarray]
_KINDS = ("predictions", "references")


@dataclass(frozen=True)
class ScoredExamples:
    """The evaluated examples of one split of a finished run.

    `records` are the lines of predictions.jsonl, in the order of the first axis of `predictions` and `references`, the arrays
    that the task's metrics take. `fingerprint` is that of the split's rows: runs with the same one saw the same examples.
    """

    run: str
    folder: Path
    split: str
    fingerprint: str
    task: Task
    settings: Any
    schema: Any
    main_metric: str
    records: list[dict[str, Any]]
    predictions: np.ndarray
    references: np.ndarray

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that mean something for these data."""
        return applicable_metrics(self.task, self.settings, self.schema)


def write_examples(path: Path, splits: Mapping[str, Arrays]) -> None:
    """Write the arrays of each split, whole or not at all."""
    named: dict[str, Any] = {
        f"{split}_{kind}": array for split, pair in splits.items() for kind, array in zip(_KINDS, pair, strict=True)
    }
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        np.savez_compressed(file, **named)
    fresh.replace(path)


def read_results(folder: Path) -> dict[str, Any]:
    """Return results.json of a finished run's folder. Raises UsageError."""
    path = folder / "results.json"
    if not path.is_file():
        unfinished = (folder / "recipe.yaml").is_file()
        raise UsageError(
            f"{folder}: " + ("the run is not finished (no results.json)" if unfinished else "no such finished run")
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_examples(folder: Path, split: str | None = None) -> ScoredExamples:
    """Return the examples of a split: the one asked for, else test where there is one, else validation.

    A run over several seeds stands for its best. Raises UsageError.
    """
    results = read_results(folder)
    if "best" in results:  # a run over several seeds
        folder = folder / results["best"]["folder"]
        results = read_results(folder)
    splits = list(results["scores"])
    chosen = split or ("test" if "test" in splits else splits[0])
    if chosen not in splits:
        raise UsageError(f"{folder}: no scores on '{chosen}'; allowed: {one_of(splits)}")
    arrays = _read_arrays(folder / EXAMPLES, chosen)
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").split("\n")
    records = [record for line in lines if line and (record := json.loads(line))["split"] == chosen]
    if len(records) != len(arrays[0]):
        raise UsageError(
            f"{folder}: predictions.jsonl has {len(records)} examples of {chosen}, {EXAMPLES} {len(arrays[0])}; "
            "one of the two was changed after the run"
        )
    task = find_tasks()[results["task"]]
    return ScoredExamples(
        results["name"],
        folder,
        chosen,
        results["data"]["split_fingerprints"][chosen],
        task,
        task.settings.model_validate(results["task_settings"]),
        task.load_schema(results["schema"]),
        results["main_metric"],
        records,
        *arrays,
    )


def _read_arrays(path: Path, split: str) -> Arrays:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; the run was made by an older version, so run its recipe again")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return found[f"{split}_predictions"], found[f"{split}_references"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
