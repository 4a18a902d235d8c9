"""The interface that a model in torch and an exported model share, and the parts of it that need neither."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ft_toolkit.core.run_records import InferenceContract
from ft_toolkit.data.columns import TrainedColumns
from ft_toolkit.data.inputs import InputColumns, Inputs, is_single, read_inputs
from ft_toolkit.data.tokenizer_changes import unknown_token_notes
from ft_toolkit.tasks.base import Features, Graph, OnText, Row, Rows, Task


class FinishedModel(Protocol):
    """A finished model with its task: `LoadedModel` in torch, or `ExportedModel`."""

    folder: Path
    contract: InferenceContract
    task: Task
    settings: Any
    schema: Any
    tokenizer: Any
    max_length: int

    def read(self, data: Any, columns: Mapping[str, str] | None = None, first_row: int = 1) -> Inputs:
        """Return the rows of `data` with the task's columns; messages count from `first_row`. Raises UsageError."""

    def notes(self, rows: Rows, features: Features) -> list[str]:
        """Return notes on labelled rows whose texts the model does not read as they are."""

    def stream(self, inputs: Inputs) -> Iterator[list[dict[str, Any]]]:
        """Yield lists of predictions, in order, as they are computed."""

    def predict_split(self, rows: Rows) -> tuple[list[dict[str, Any]], Features]:
        """Return one prediction per row, and the model's input. The answers of the rows are checked. Raises DataError."""

    def predict_row(self, row: Row, on_text: OnText) -> dict[str, Any]:
        """Return the prediction of one row of `read`, and pass a generated text to `on_text` while it is generated."""

    def values_of(self, features: Features, graph: Graph) -> list[Any]:
        """Return one value of `graph` per feature, in order."""

    def token_scores_of(self, features: Features) -> list[Any]:
        """Return the scores of the target tokens of each feature, in order, from a language model; None without targets."""


def read_for(model: FinishedModel, data: Any, columns: Mapping[str, str] | None, first_row: int = 1) -> Inputs:
    """Return the rows of `data` for a model. Columns have the names of the training run or of the task, or of `columns`."""
    defaults = model.contract.evaluation
    trained = TrainedColumns(defaults.columns, defaults.card_columns)
    inputs = read_inputs(data, InputColumns(model.task, model.settings, trained, columns or {}, first_row))
    changes = model.task.notes(inputs.rows, None, model.tokenizer, model.schema)
    return replace(inputs, remarks=[*inputs.remarks, *changes])


def notes_for(model: FinishedModel, rows: Rows, features: Features) -> list[str]:
    """Return notes on labelled rows whose texts the prefix, the prompt or the tokenizer changes."""
    unknown = unknown_token_notes(features.inputs["input_ids"], model.tokenizer)
    return unknown + model.task.notes(rows, features, model.tokenizer, model.schema)


def predict_data(
    model: FinishedModel, data: Any, columns: Mapping[str, str] | None
) -> dict[str, Any] | list[dict[str, Any]]:
    """Predict `data`: one dict for one row, else a list. Notes become warnings at the caller of the caller."""
    inputs = model.read(data, columns)
    for note in (*inputs.notes, *inputs.remarks):
        warnings.warn(note, UserWarning, stacklevel=3)
    predictions = list(chain.from_iterable(model.stream(inputs)))
    return predictions[0] if is_single(data) else predictions
