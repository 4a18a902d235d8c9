"""`ftk label-next`: choose the unlabelled rows to label next, for the model of a finished run.

pool --(without training rows and repeated rows)--> predictions --> uncertainty ┐
                                        └──> vectors of the frozen checkpoint ──┴─> chosen rows --> csv or jsonl file
"""

import csv
import io
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import LEARNING_CURVE, MERGED_FOLDER, RECIPE
from ft_toolkit.core.run_records import (
    LearningCurve,
    ModelCurve,
    RunResults,
    SeedsResults,
    read_learning_curve,
    read_results,
)
from ft_toolkit.core.spreadsheets import no_formula
from ft_toolkit.data.inputs import Inputs
from ft_toolkit.data.local_files import read_table
from ft_toolkit.data.seen_rows import find_seen_rows, input_hashes, read_seen_rows
from ft_toolkit.evaluation.embeddings import FrozenModel, embed_inputs
from ft_toolkit.evaluation.next_rows import (
    NextRows,
    Strategy,
    choose_both,
    choose_diverse,
    choose_uncertain,
    uncertainties,
)
from ft_toolkit.evaluation.run_rows import load_run_rows
from ft_toolkit.inference.device import inference_device
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.inference.prediction_text import csv_cell, plain_value
from ft_toolkit.models.adapter_runs import is_adapter, merge_adapter
from ft_toolkit.models.pretrained import find_checkpoint, load_tokenizer
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.report.learning_curve import next_gain_sentences
from ft_toolkit.report.numbers import count
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Row, Rows, Task, TaskSettings
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.tracking import Display

# Columns of the written file, after the columns of the pool.
_COLUMNS = ("next_rank", "next_row", "next_uncertainty", "next_likely_label", "next_reason")


@dataclass(frozen=True)
class LabelRequest:
    """The arguments of `ftk label-next`.

    run         the folder of a finished run; of a multi-seed run, its best seed is used
    pool        the file with unlabelled rows
    k           the number of rows to choose
    by          how they are chosen
    output      the file to write, .csv or .jsonl
    columns     names of the pool's columns by the task's names
    reading     how to read the pool; None: content and name decide
    curve       the folder of a learning curve; None looks for one beside the run
    seed        the seed of the clusters
    """

    run: Path
    pool: Path
    k: int
    by: Strategy
    output: Path
    columns: Mapping[str, str]
    reading: Reading | None
    curve: Path | None
    seed: int


@dataclass(frozen=True)
class _Predicted:
    """The uncertainty of each row, its two most likely labels and their probabilities, shapes (rows,) and (rows, 2)."""

    uncertainty: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def choose_next_rows(request: LabelRequest, display: Display) -> None:
    """Choose rows, write them, and print the expected gain. Raises UsageError, DataError, ModelError and RunFolderError."""
    folder, results = _read_run(request.run)
    curve = None if request.curve is None else _matching_curve(request.curve, results)
    model = LoadedModel(str(folder))
    check_task(model.task, model.settings)
    table = read_table(request.pool, request.reading)
    pool = list(table.rows)
    inputs = model.read(pool, request.columns)
    for note in (*table.notes, *inputs.notes, *inputs.remarks):
        display.warn(f"note: {request.pool}: {note}")
    new = _new_rows(folder, results, model, inputs.rows, display)
    if not len(new):
        raise UsageError(f"{request.pool}: all {count(len(inputs.rows))} rows are training rows; pass other rows")
    if len(new) < request.k:
        display.warn(f"note: only {count(len(new))} rows are left, so all are chosen")
    rows = [inputs.rows[i] for i in new]
    predicted = _predict(model, rows, display)
    chosen = _choose(request, folder, model, rows, predicted, display)
    _write(request.output, [pool[new[i]] for i in chosen.rows], _fields(chosen, new, predicted, model))
    display.warn(
        f"wrote {request.output} ({count(len(chosen.rows))} of {count(len(inputs.rows))} rows, by {request.by})"
    )
    for line in _gain_lines(curve, request.run, results, len(chosen.rows)):
        display.warn(line)


def check_task(task: Task, settings: TaskSettings) -> None:
    """Raise UsageError for a task without one label per text."""
    if task.classifier(settings) is None or task.stratify_by(settings) is None:
        raise UsageError(
            f"the run is of task {task.name} with settings without a single label per text, so the uncertainty of a row is not "
            "defined; 'ftk label-next' supports classifiers with one label per text"
        )


def _read_run(run: Path) -> tuple[Path, RunResults]:
    """Return the folder and the results of a run, or of the best seed of a multi-seed run. Raises UsageError."""
    results = read_results(run)
    if isinstance(results, SeedsResults):
        run = run / results.best.folder
        results = read_results(run)
    if not isinstance(results, RunResults):
        raise UsageError(f"{run}: not the folder of a training run, but of kind '{results.kind}'; pass the run folder")
    return run, results


def _new_rows(folder: Path, results: RunResults, model: LoadedModel, rows: Rows, display: Display) -> np.ndarray:
    """Return the numbers of the rows that are no training rows, each text once, ascending."""
    hashes = input_hashes(rows, model.task)
    seen = read_seen_rows(model.folder)
    if seen is None or seen.is_sample:  # the model folder does not have all hashes
        seen = find_seen_rows(load_run_rows(folder, results, with_test=False)[1].splits["train"], model.task)
    is_training_row = np.isin(hashes, seen.hashes)
    is_first = np.zeros(len(hashes), bool)
    is_first[np.unique(hashes, return_index=True)[1]] = True
    display.say(
        f"pool       {count(len(rows))} rows; left out: {count(int(is_training_row.sum()))} training rows, "
        f"{count(int((~is_training_row & ~is_first).sum()))} repeated rows"
    )
    return np.flatnonzero(~is_training_row & is_first)


def _predict(model: LoadedModel, rows: Rows, display: Display) -> _Predicted:
    classifier = model.task.classifier(model.settings)
    assert classifier is not None
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    done = 0
    for predictions in model.stream(Inputs(rows, [])):
        likely = np.asarray(classifier.probabilities(predictions, model.schema))
        top = np.argsort(-likely, axis=1, kind="stable")[:, :2]
        parts.append((uncertainties(likely), top, np.take_along_axis(likely, top, 1)))
        done += len(predictions)
        display.count("           predicting", done, len(rows))
    return _Predicted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _choose(
    request: LabelRequest, folder: Path, model: LoadedModel, rows: Rows, predicted: _Predicted, display: Display
) -> NextRows:
    if request.by == "uncertainty":
        return choose_uncertain(predicted.uncertainty, request.k)
    with tempfile.TemporaryDirectory() as scratch:
        embed = _embedder(folder, model, rows, Path(scratch), display)
        if request.by == "both":
            return choose_both(predicted.uncertainty, embed, request.k, request.seed)
        return choose_diverse(embed(np.arange(len(rows))), request.k, request.seed)


def _embedder(
    folder: Path, model: LoadedModel, rows: Rows, scratch: Path, display: Display
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that embeds rows by the checkpoint from which the run started. Raises UsageError, ModelError."""
    section = load_recipe(folder / RECIPE, [], find_tasks()).recipe.model
    if section.config is not None:
        raise UsageError(f"{folder}: a model from scratch has no vectors before training; use --by uncertainty")
    checkpoint = find_checkpoint(section)
    if is_adapter(checkpoint):
        checkpoint = merge_adapter(checkpoint, scratch / MERGED_FOLDER)
    tokenizer = load_tokenizer(checkpoint.folder)
    frozen = FrozenModel(checkpoint.folder, tokenizer, inference_device(model.contract.mixed_precision))

    def embed(numbers: np.ndarray) -> np.ndarray:
        features = model.task.encode([rows[i] for i in numbers], tokenizer, model.schema, model.max_length)
        collate = make_collate(features, model.task, model.schema, tokenizer.pad_token_id)
        vectors = embed_inputs(
            frozen,
            features,
            collate,
            model.contract.tokens_per_batch,
            lambda done, total: display.count("           embedding", done, total),
        )
        if not np.isfinite(vectors).all():
            raise UsageError(f"{folder}: the vectors of {section.name} are not finite; use --by uncertainty")
        return vectors

    return embed


def _fields(chosen: NextRows, new: np.ndarray, predicted: _Predicted, model: LoadedModel) -> list[dict[str, Any]]:
    """Return the values of the further columns for each chosen row."""
    names = model.task.labels(model.schema)
    fields = []
    for rank, row in enumerate(chosen.rows.tolist()):
        likely, other = (names[i] for i in predicted.labels[row])
        high, low = predicted.probabilities[row].tolist()
        reason = f"{likely} ({high:.2f}) or {other} ({low:.2f})"
        if chosen.similar is not None:
            reason += f"; rows in its cluster: {count(int(chosen.similar[rank]))}"
        values = (rank + 1, int(new[row]) + 1, round(float(predicted.uncertainty[row]), 4), likely, reason)
        fields.append(dict(zip(_COLUMNS, values, strict=True)))
    return fields


def _write(output: Path, rows: Sequence[Row], fields: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows with their further columns. Columns of the pool with the same names are replaced."""
    records = [
        {**{name: value for name, value in row.items() if name not in _COLUMNS}, **values}
        for row, values in zip(rows, fields, strict=True)
    ]
    if output.suffix == ".jsonl":
        lines = [{name: plain_value(value) for name, value in record.items()} for record in records]
        write_file(output, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return
    names = list(dict.fromkeys(name for record in records for name in record if name not in _COLUMNS)) + list(_COLUMNS)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(no_formula, names))
    writer.writerows([no_formula(csv_cell(record.get(name, ""))) for name in names] for record in records)
    write_file(output, text.getvalue())


def _matching_curve(folder: Path, results: RunResults) -> LearningCurve:
    """Return a learning curve. Raises UsageError if its scores are not about the rows and the model of the run."""
    curve = read_learning_curve(folder)
    if results.data.split_fingerprints.get(curve.split) != curve.fingerprint or curve.task != results.task:
        raise UsageError(f"{folder}: the learning curve was scored on other {curve.split} rows than the run")
    if _curve_of(curve, results) is None:
        raise UsageError(f"{folder}: the learning curve has no model '{results.model}'")
    return curve


def _curve_of(curve: LearningCurve, results: RunResults) -> ModelCurve | None:
    return next((each for each in curve.models if each.model == results.model), None)


def _gain_lines(curve: LearningCurve | None, run: Path, results: RunResults, k: int) -> list[str]:
    """Return the expected gain and when to stop, or the command that measures the learning curve."""
    run = run if run.name.strip(".") else run.resolve()
    target = run.with_name(f"{run.name}-scale")
    command = shlex.join(["ftk", "scale", str(run / RECIPE), "--output", str(target)])
    if curve is None:
        beside = (target, run.with_name(f"{results.name}-scale"))
        path = next((path for path in beside if (path / LEARNING_CURVE).is_file()), None)
        if path is None:
            return [f"Expected gain: unknown, because the run has no learning curve. To measure one: {command}"]
        try:
            curve = _matching_curve(path, results)
        except UsageError as error:
            return [f"Expected gain: unknown. {error}. To measure another one, remove the folder, then: {command}"]
    model = _curve_of(curve, results)
    assert model is not None
    return next_gain_sentences(curve, model, results.data.splits["train"].rows, k)
