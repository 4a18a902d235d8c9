"""`ftk data audit --label-errors`: labels that are probably wrong, by embeddings of the texts."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.faults.suspects import PLANTED, find_suspects
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.embeddings import Embedder
from ft_toolkit.inference.device import inference_device
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks.base import Task
from ft_toolkit.training.frozen_vectors import FrozenVectors
from ft_toolkit.training.prepare import RunInput, prepare_input


def find_label_errors(
    recipe: Recipe, task: Task, data: LoadedData, rows: AuditedRows, most: int, report: Callable[[int, int], None]
) -> list[Fault]:
    """Return at most `most` rows whose labels are probably wrong, most suspicious first; nothing if there are none.

    The embeddings are those of the recipe's checkpoint. `report` is called with the number of embedded rows and their total.
    Raises UsageError for a task without one label per text, and ModelError for a checkpoint that cannot be loaded.
    """
    if task.stratify_by(recipe.task) is None:
        raise UsageError(f"--label-errors: {task.name} with these settings has no single label per text; leave it out")
    vectors, labels, names = embed_rows(recipe, task, data, rows, report)
    suspects = find_suspects(vectors, labels, rows.keys, most, recipe.training.seed)
    n = len(suspects.rows)
    fault = Fault(
        "label_errors",
        "labels that are probably wrong",
        "look at each; many are right, but hard to classify. In a trial, the labels of "
        f"{PLANTED:.0%} random rows were changed: at least {suspects.bound} (on average {suspects.mean:.0f}) of the first {n} "
        "suspects were changed rows. Real errors are harder to find, because they confuse similar labels",
        [
            Case((row,), f"the other rows suggest {names[label]!r}", names[label])
            for row, label in zip(suspects.rows.tolist(), suspects.suggested.tolist(), strict=True)
        ],
    )
    return [fault] if n else []


def embed_rows(
    recipe: Recipe, task: Task, data: LoadedData, rows: AuditedRows, report: Callable[[int, int], None]
) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
    """Return the embedding of each row, shape (rows, width), the number of its label, shape (rows,), and the label names."""
    with tempfile.TemporaryDirectory() as scratch:
        run_input = RunInput(recipe, task, data, data.label_rows or data.splits["train"], [])
        prepared = prepare_input(run_input, Path(scratch))
        embedder = Embedder(prepared, inference_device(prepared.recipe.training.mixed_precision), FrozenVectors())
        vectors, done = [], 0
        for split, part in prepared.data.splits.items():
            vectors.append(embedder.embed(split, range(len(part)), _from(done, len(rows), report)))
            done += len(part)
    names = task.labels(prepared.schema)
    return np.concatenate(vectors), np.array([names.index(rows.labels(row)[0]) for row in rows]), names


def _from(start: int, total: int, report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    return lambda done, _: report(start + done, total)
