"""Load a model for the server, and check its predictions before it gets requests."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ft_toolkit.core.errors import ModelError, RunFolderError
from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.run_folder import PREDICTIONS, is_local
from ft_toolkit.core.run_records import read_members
from ft_toolkit.runtime.exported_model import ExportedModel, is_exported_graph
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.tasks.base import Row, Task, without_answers
from ft_toolkit.tasks.display.prediction_form import PredictionForm

# Rows of predictions.jsonl that are predicted again, fewer where texts are generated. In bfloat16, an answer near a tie depends
# on the width of the batch, so a quarter may differ. A model with the weights or the tokenizer of another one has more
# different answers. Of generated texts, 28% differed (85 of 300 summaries in bfloat16), so one equal text of 8 is enough: a
# correct model fails with a probability of 0.28 ** 8, and another model does not generate an equal text.
CHECKED_ROWS, CHECKED_ROWS_GENERATED = 16, 8
ALLOWED_CHANGES, ALLOWED_CHANGES_GENERATED = 0.25, 0.9
# Allowed relative difference of an answer that is a number.
NUMBER_TOLERANCE = 0.05


@dataclass(frozen=True)
class ServedModel:
    """A loaded model that passed its self-check, and the version of its files."""

    model: FinishedModel
    version: str
    form: PredictionForm

    @property
    def input_columns(self) -> dict[str, Any]:
        """The columns of a row to predict, by name. A single column is required."""
        columns = {
            name: column
            for name, column in self.model.task.columns.items()
            if not column.is_answer and not column.only_scores
        }
        return (
            columns if len(columns) > 1 else {name: replace(column, required=True) for name, column in columns.items()}
        )


def find_version(path: str) -> str | None:
    """Return the first characters of the SHA-256 of the files of a local model; None for a model on the Hub.

    Raises ModelError if there is no model.
    """
    if not is_local(path):
        return None
    folder = find_model_folder(Path(path))
    if folder is None:
        raise ModelError(f"{path}: not the folder of a finished run or model")
    digest = hashlib.sha256()
    for member in dict.fromkeys([folder, *read_members(folder)]):
        for file in sorted(entry for entry in member.rglob("*") if entry.is_file()):
            digest.update(str(file.relative_to(member)).encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


def load_served(path: str) -> ServedModel:
    """Load a model and check its predictions. Raises ModelError, RunFolderError."""
    version = find_version(path)
    if is_local(path) and is_exported_graph(path):
        model: FinishedModel = ExportedModel(path)
    else:
        from ft_toolkit.inference.model_folder import open_model  # imports torch

        model = open_model(path)
    served = ServedModel(model, version or find_version(str(model.folder)) or "", _form_of(model))
    check_predictions(served, path)
    return served


def _form_of(model: FinishedModel) -> PredictionForm:
    return model.task.prediction_form(model.schema)


def check_predictions(served: ServedModel, path: str) -> None:
    """Predict sample rows of the task, and rows whose predictions the run has saved. Raises ModelError.

    The predictions must have the keys and types of the task, without NaN and infinite numbers, and most answers must be those
    of the run; of generated texts, one.
    """
    model, task = served.model, served.model.task
    samples, _ = task.read_rows(task.sample_rows(model.settings), model.settings, "sample rows")
    predictions, _ = model.predict_split([without_answers(row, task) for row in samples])
    saved = _saved_predictions(model)
    again = [_predict(model, row) for row, _ in saved]
    try:
        for prediction in [*predictions, *again]:
            served.form.keys.model_validate(prediction)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ModelError(
            f"{path}: the self-check failed: {where} of a prediction: {error.errors()[0]['msg']}"
        ) from None
    schema = model.schema
    changes = sum(
        not _is_same(task, task.answer(ours, schema), task.answer(record, schema))
        for ours, (_, record) in zip(again, saved, strict=True)
    )
    allowed = ALLOWED_CHANGES if task.generate is None else ALLOWED_CHANGES_GENERATED
    if changes > allowed * len(saved):
        raise ModelError(
            f"{path}: the self-check failed: {changes} of {len(saved)} answers differ from {PREDICTIONS} of the run. The "
            "weights, the tokenizer or the library versions may be those of another run"
        )


def _predict(model: FinishedModel, row: Row) -> dict[str, Any]:
    inputs = model.read([row], {name: name for name in row})
    return model.predict_split(inputs.rows)[0][0]


def _saved_predictions(model: FinishedModel) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Return (row, record) for the first records of predictions.jsonl beside the model folder; empty without the file."""
    path = model.folder.parent / PREDICTIONS
    if not path.is_file():
        return []
    limit = CHECKED_ROWS if model.task.generate is None else CHECKED_ROWS_GENERATED
    with path.open(encoding="utf-8") as file:
        lines = list(itertools.islice(file, limit))
    try:
        records = [json.loads(line) for line in lines]
        return [(_inputs_of(record, model.task), record) for record in records]
    except (ValueError, AttributeError):
        raise RunFolderError(f"{path}: not a file of predictions; write it again with ftk evaluate") from None


def _inputs_of(record: Mapping[str, Any], task: Task) -> dict[str, Any]:
    names = [name for name, column in task.columns.items() if not column.is_answer]
    return {name: record[name] for name in names if record.get(name) is not None}


def _is_same(task: Task, ours: Any, saved: Any) -> bool:
    if isinstance(ours, float) and isinstance(saved, (int, float)):
        return math.isclose(ours, saved, rel_tol=NUMBER_TOLERANCE, abs_tol=NUMBER_TOLERANCE)
    return task.answer_texts(ours) == task.answer_texts(saved)
