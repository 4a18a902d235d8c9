"""Read and write examples.npz: the arrays per example from which the scores of a run were computed.

With these arrays, the scores of any subset of the examples and the paired difference of two runs need no model.
"""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.core.files import atomic_binary_file
from ft_toolkit.core.json_records import damaged, read_objects
from ft_toolkit.core.run_folder import EXAMPLES, PREDICTIONS, RESULTS
from ft_toolkit.core.run_records import AnyResults, EvaluationResults, RunResults, SeedsResults, read_results
from ft_toolkit.data.cards import SplitName
from ft_toolkit.metrics.clusters import Clusters, find_clusters
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.recipe.saved_task import load_saved_task
from ft_toolkit.tasks.base import Task, applicable_metrics

# Predictions and references of a split, as the metrics of its task take them.
Arrays = tuple[np.ndarray, np.ndarray]
_KINDS = ("predictions", "references")
_CLUSTERS = "clusters"


@dataclass(frozen=True)
class ScoredExamples:
    """The evaluated examples of one split of a finished run or evaluation.

    `records` are the lines of predictions.jsonl, in the order of the first axis of `predictions` and `references`.
    `fingerprint` identifies the rows of the split: runs with the same fingerprint were scored on the same rows. `clusters` are
    the groups of examples that are not independent.
    """

    results: RunResults | EvaluationResults
    folder: Path
    split: str
    fingerprint: str
    task: Task
    settings: Any
    schema: Any
    records: list[dict[str, Any]]
    predictions: np.ndarray
    references: np.ndarray
    clusters: Clusters | None = None

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that are defined for these data."""
        return applicable_metrics(self.task, self.settings, self.schema)


def write_examples(
    folder: Path, splits: Mapping[SplitName, Arrays], clusters: Mapping[SplitName, Clusters | None] | None = None
) -> None:
    """Write the arrays of each split, and the numbers of their clusters, to examples.npz in the run folder, atomically."""
    arrays: dict[str, Any] = {
        f"{split}_{kind}": array for split, pair in splits.items() for kind, array in zip(_KINDS, pair, strict=True)
    }
    arrays |= {f"{split}_{_CLUSTERS}": each.numbers for split, each in (clusters or {}).items() if each is not None}
    with atomic_binary_file(folder / EXAMPLES) as file:
        np.savez_compressed(file, **arrays)


def read_examples(folder: Path, split: str | None = None, results: EvaluationResults | None = None) -> ScoredExamples:
    """Return the examples of a split of a run folder; for a multi-seed run, the examples of its best seed.

    `split` None takes test, or the first other split where there is no test split. `results` is the content of results.json, if
    that file is not written yet. Raises UsageError.
    """
    return _read_examples(folder, split, read_results(folder) if results is None else results)


def _read_examples(folder: Path, split: str | None, results: AnyResults) -> ScoredExamples:
    if isinstance(results, SeedsResults):
        folder = folder / results.best.folder
        results = read_results(folder)
        if isinstance(results, SeedsResults):
            raise damaged(folder / RESULTS, "expected the results of one seed, found those of a multi-seed run")
    splits = list(results.scores)
    chosen = split or ("test" if "test" in splits else splits[0])
    if chosen not in splits:
        raise UsageError(f"{folder}: no scores on split '{chosen}'; allowed: {one_of(splits)}")
    if chosen not in results.data.split_fingerprints:
        raise damaged(folder / RESULTS, f"key 'data.split_fingerprints.{chosen}' is missing")
    arrays = _read_arrays(folder / EXAMPLES, chosen)
    facts = results.scores[chosen].clusters
    clusters = None if facts is None else _read_clusters(folder / EXAMPLES, chosen, facts.column, len(arrays[0]))
    records = [record for record in read_objects(folder / PREDICTIONS) if record.get("split") == chosen]
    if len(records) != len(arrays[0]):
        raise UsageError(
            f"{folder}: {PREDICTIONS} has {len(records)} {chosen} examples, {EXAMPLES} has {len(arrays[0])}. One of the files "
            "was changed after the run. Restore it from a copy, or repeat the run"
        )
    saved = load_saved_task(folder / RESULTS, results.task, results.task_settings, results.task_schema)
    return ScoredExamples(
        results,
        folder,
        chosen,
        results.data.split_fingerprints[chosen],
        saved.task,
        saved.settings,
        saved.schema,
        records,
        *arrays,
        clusters,
    )


def _read_clusters(path: Path, split: str, column: str, n: int) -> Clusters | None:
    """Return the clusters of a split with n examples. Raises RunFolderError when the file has none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            numbers = archive[f"{split}_{_CLUSTERS}"]
    except KeyError:
        raise damaged(path, f"the clusters of split '{split}' are missing") from None
    if numbers.shape != (n,):
        raise damaged(path, f"the clusters of split '{split}' have the shape {numbers.shape}; expected ({n},)")
    return find_clusters(column, numbers)


def _read_arrays(path: Path, split: str) -> Arrays:
    """Return predictions and references of a split, with the same number of examples."""
    if not path.is_file():
        raise UsageError(f"{path}: file not found. The run was made by an older version; repeat the run")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            predictions, references = archive[f"{split}_predictions"], archive[f"{split}_references"]
    except KeyError:
        raise damaged(path, f"the arrays of split '{split}' are missing") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, f"not a valid npz file ({error})") from None
    if not predictions.ndim or not references.ndim or len(predictions) != len(references):
        raise damaged(path, f"the arrays of split '{split}' have different lengths")
    return predictions, references
