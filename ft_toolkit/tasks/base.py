"""The task contract: a task is data plus plain functions.

A file `tasks/<name>.py` ends with `TASK = Task(name="<name>", ...)` and is found by its file name. There is no base class
to inherit from and no list to edit. The fields stand in the order in which the data meets them.

A task file imports neither torch nor transformers at the top (inside functions it may), so that recipes are checked
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

Kind = Literal["encoder", "decoder", "encoder-decoder"]
Row = Mapping[str, Any]
Rows = Sequence[Row]


class TaskSettings(BaseModel):
    """What stands under `task:` in a recipe; each task adds its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str


@dataclass(frozen=True)
class Column:
    """A column of the task's rows: what it holds and whether every row needs it."""

    meaning: str
    required: bool = True


@dataclass(frozen=True)
class Metric:
    """One number for a whole split.

    `fn(predictions, references)` takes two arrays whose first axis is the example, and returns a float; it is called once
    on all examples and once per bootstrap resample. `best` is its value for perfect predictions.
    """

    fn: Callable[[np.ndarray, np.ndarray], float]
    best: float = 1.0
    greater_is_better: bool = True


@dataclass(frozen=True)
class Features:
    """What the model reads: one entry per window of an example.

    `inputs[name][i]` is a list of token-level ints, `targets[i]` what the task's `pad_targets` takes, `example_ids[i]` the
    row the window came from. `n_tokens_cut[row]` counts the row's tokens that no window holds.
    """

    inputs: dict[str, list[list[int]]]
    targets: list[Any]
    example_ids: list[int]
    n_tokens_cut: list[int]

    @property
    def lengths(self) -> list[int]:
        """Tokens per feature."""
        return [len(ids) for ids in self.inputs["input_ids"]]


@dataclass(frozen=True)
class Batch:
    """One padded micro-batch: `inputs` go to the model, shape (features, tokens); `targets` to the loss.

    `n_tokens` counts real tokens, `n_padded` real and padding ones; `weight` is 0 for a filler that evens out ranks.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    feature_ids: tuple[int, ...]
    n_tokens: int
    n_padded: int
    weight: float = 1.0


@dataclass(frozen=True)
class Task:
    """Everything the toolkit needs to know about one task."""

    name: str
    # The pydantic model of the recipe's `task:` section.
    settings: type[TaskSettings]
    # Canonical columns of a row.
    columns: Mapping[str, Column]
    # (settings, training rows, label names of the card or None) -> what the model must know of the data (labels ...).
    # The schema is a frozen dataclass of plain values: it is written to inference.json and read back.
    find_schema: Callable[[Any, Rows, Sequence[str] | None], Any]
    # The inverse of dataclasses.asdict for the schema, after a trip through JSON.
    load_schema: Callable[[Mapping[str, Any]], Any]
    # (rows, tokenizer, schema, max_length) -> features. Rows without the target columns are allowed (prediction).
    encode: Callable[[Rows, Any, Any, int], Features]
    # Name of the transformers Auto class per kind of checkpoint; a kind that is missing is refused in words.
    auto_class: Mapping[Kind, str]
    # schema -> keyword arguments for the model's config (num_labels, id2label ...).
    model_kwargs: Callable[[Any], dict[str, Any]]
    # (targets, padded width, schema) -> tensor.
    pad_targets: Callable[[Sequence[Any], int, Any], torch.Tensor]
    # (model outputs, batch, schema) -> the SUM of the loss over targets, a scalar tensor.
    loss_sum: Callable[[Any, Batch, Any], torch.Tensor]
    # (batch, schema) -> what the sum is divided by.
    count_targets: Callable[[Batch, Any], float]
    # (model outputs, batch) -> array with one row per feature; kept until all features of a split are there.
    predict: Callable[[Any, Batch], np.ndarray]
    # (raw predictions of all examples, rows, schema) -> one JSON-able dict per example.
    decode: Callable[[np.ndarray, Rows, Any], list[dict[str, Any]]]
    # (row, schema) -> the row's true answer in the words that `decode` uses.
    gold: Callable[[Row, Any], Any]
    # (raw predictions, rows, schema) -> (predictions, references) for the metrics.
    to_arrays: Callable[[np.ndarray, Rows, Any], tuple[np.ndarray, np.ndarray]]
    # settings -> metrics by name; the first picks the best checkpoint unless the recipe says otherwise.
    metrics: Callable[[Any], dict[str, Metric]]
    # (predictions, references, schema) -> tables for the report (per class, confusion ...).
    details: Callable[[np.ndarray, np.ndarray, Any], dict[str, Any]]
    # name -> (training rows, evaluated rows, schema, seed) -> predictions as to_arrays gives them.
    baselines: Mapping[str, Callable[[Rows, Rows, Any, int], np.ndarray]]
    # pipeline_tag of the Hub, for the model card.
    pipeline_tag: str
    # settings -> a few rows that serve the contract test, `--smoke` and the documentation.
    sample_rows: Callable[[Any], Rows]
