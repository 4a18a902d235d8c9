"""`ftk data audit --label-errors`: labels that are probably wrong, by the vectors of the texts or of their words."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.faults.label_tables import PLANTED, LabelSets, LabelTable, SingleLabels, SpanLabels
from ft_toolkit.data.faults.suspects import BOUND_RANK, PLANTINGS, find_suspects
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.embeddings import Embedder
from ft_toolkit.inference.device import inference_device
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks.base import TaggedSpans, Task
from ft_toolkit.training.frozen_vectors import FrozenVectors
from ft_toolkit.training.prepare import Prepared, RunInput, prepare_input

Report = Callable[[int, int], None]

# The weight of the form of a word beside its vector, which has the length 1.
_FORM_WEIGHT = 0.3


@dataclass(frozen=True)
class LabelledVectors:
    """The vectors of the units (texts or words), shape (units, width), their labels, and a group per unit."""

    vectors: np.ndarray
    table: LabelTable
    groups: np.ndarray


def find_label_errors(
    recipe: Recipe, task: Task, data: LoadedData, rows: AuditedRows, most: int, report: Report
) -> list[Fault]:
    """Return at most `most` rows whose labels are probably wrong, most suspicious first; nothing if there are none.

    The vectors are those of the recipe's checkpoint. `report` is called with the number of read texts and their total.
    Raises UsageError for a task without labels, and ModelError for a checkpoint that cannot be loaded.
    """
    labelled = read_labelled_vectors(recipe, task, data, rows, report)
    suspects = find_suspects(labelled.vectors, labelled.table, labelled.groups, most, recipe.training.seed)
    n = len(suspects.rows)
    among = " with entities" if isinstance(labelled.table, SpanLabels) else ""
    fault = Fault(
        "label_errors",
        "labels that are probably wrong",
        "look at each; many are right, but hard to classify. In trials, the labels of "
        f"{PLANTED:.0%} random rows{among} were {labelled.table.planting}: in at least {PLANTINGS - BOUND_RANK + 1} of "
        f"{PLANTINGS} trials, at least {suspects.bound} (on average {suspects.mean:.0f}) of the first {n} suspects were "
        "changed rows. Real errors are harder to find, because they confuse similar labels",
        [
            Case((row,), detail, label)
            for row, detail, label in zip(suspects.rows.tolist(), suspects.details, suspects.labels, strict=True)
        ],
    )
    return [fault] if n else []


def read_labelled_vectors(
    recipe: Recipe, task: Task, data: LoadedData, rows: AuditedRows, report: Report
) -> LabelledVectors:
    """Return the vectors of all rows, or of their words, with their labels. Raises UsageError for a task without labels."""
    has_one_label, has_sets = task.stratify_by(recipe.task) is not None, task.has_label_sets(recipe.task)
    if not has_one_label and not has_sets and task.tagged_spans is None:
        raise UsageError(f"--label-errors: {task.name} with these settings has no labels; leave it out")
    with tempfile.TemporaryDirectory() as scratch:
        run_input = RunInput(recipe, task, data, data.label_rows or data.splits["train"], [])
        prepared = prepare_input(run_input, Path(scratch))
        embedder = Embedder(prepared, inference_device(prepared.recipe.training.mixed_precision), FrozenVectors())
        if task.tagged_spans is not None:
            return _read_words(prepared, task.tagged_spans, embedder, rows, report)
        vectors, done = [], 0
        for split, part in prepared.data.splits.items():
            vectors.append(embedder.embed(split, range(len(part)), _from(done, len(rows), report)))
            done += len(part)
    names = task.labels(prepared.schema)
    table = _single_labels(rows, names) if has_one_label else _label_sets(rows, names)
    return LabelledVectors(np.concatenate(vectors), table, rows.keys)


def _single_labels(rows: AuditedRows, names: Sequence[str]) -> SingleLabels:
    position = {name: number for number, name in enumerate(names)}
    return SingleLabels(np.array([position[rows.labels(row)[0]] for row in rows]), names)


def _label_sets(rows: AuditedRows, names: Sequence[str]) -> LabelSets:
    position = {name: number for number, name in enumerate(names)}
    present = np.zeros((len(rows), len(names)), np.int8)
    for row, name in rows.each_label():
        present[row, position[name]] = 1
    return LabelSets(present, names)


def _read_words(
    prepared: Prepared, tagged: TaggedSpans, embedder: Embedder, rows: AuditedRows, report: Report
) -> LabelledVectors:
    """Return the vectors and forms of the words that have a token, with their labels. A span without such words is left out."""
    names = ["outside", *prepared.task.labels(prepared.schema)]
    position = {name: number for number, name in enumerate(names)}
    vectors: list[np.ndarray] = []
    rows_of_words: list[int] = []
    texts: list[str] = []
    spans: list[tuple[int, int, int]] = []
    done = 0
    for split, part in prepared.data.splits.items():
        features = prepared.features[split]
        words = [[word for word in each if word[2] is not None] for each in tagged.words(features)]
        tokens = [[token for _, _, token in each if token is not None] for each in words]
        token_vectors = embedder.embed_tokens(split, tokens, _from(done, len(rows), report))
        by_row: list[list[int]] = [[] for _ in part]
        for feature, number in enumerate(features.example_ids):
            by_row[number].append(feature)
        for number, row in enumerate(part):
            first = len(rows_of_words)
            bounds = [word[:2] for feature in by_row[number] for word in words[feature]]
            vectors += [token_vectors[feature] for feature in by_row[number]]
            rows_of_words += [done + number] * len(bounds)
            texts += [row["text"][start:end] for start, end in bounds]
            for start, end, name in tagged.spans(row):
                inside = [i for i, (a, b) in enumerate(bounds) if start <= a and b <= end]
                if inside:
                    spans.append((first + inside[0], first + inside[-1] + 1, position[name]))
        done += len(part)
    word_rows = np.array(rows_of_words)
    table = SpanLabels(len(rows), word_rows, np.array(spans, int).reshape(-1, 3), names, texts)
    inputs = np.hstack([np.concatenate(vectors), _FORM_WEIGHT * word_forms(texts, word_rows)])
    return LabelledVectors(inputs, table, rows.keys[word_rows])


def word_forms(words: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """Return the form of each word and of the words beside it in its row, as 0/1, shape (words, 21).

    Many tokenizers turn capital letters into small ones, but capital letters, digits and signs tell names from other words.
    """
    own = np.array(
        [
            (
                word[:1].isupper(),
                len(word) > 1 and word.isupper(),
                any(character.isupper() for character in word[1:]),
                any(character.isdigit() for character in word),
                word[:1] in ("@", "#"),
                not any(character.isalnum() for character in word),
                len(word) > 6,
            )
            for word in words
        ],
        np.float32,
    )
    before, after = np.zeros_like(own), np.zeros_like(own)
    is_same_row = (rows[1:] == rows[:-1])[:, None]
    before[1:], after[:-1] = own[:-1] * is_same_row, own[1:] * is_same_row
    return np.hstack([own, before, after])


def _from(start: int, total: int, report: Report) -> Report:
    return lambda done, _: report(start + done, total)
