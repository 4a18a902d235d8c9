"""The task contract: a task is data plus plain functions.

A file `tasks/<name>.py` ends with `TASK = Task(name="<name>", ...)` and is found by its file name. There is no base class
to inherit from and no list to edit. The fields stand in the order in which the data meets them.

A task file imports neither torch nor transformers at the top (inside functions it may), so that recipes are checked
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ft_toolkit.metrics.metric import Metric

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
    """A column of the task's rows: what it holds, whether every row needs it, and whether it is an answer.

    A row whose answers are all missing is not labelled: it can be predicted, not learned from.
    """

    meaning: str
    required: bool = True
    is_answer: bool = False
    # The setting of the task whose value is the column's other name (translation: source_language names it en).
    named_by: str | None = None


@dataclass(frozen=True)
class Pretrained:
    """What a task may ask of the checkpoint before it reads the rows."""

    kind: Kind
    # The transformers config and tokenizer.
    config: Any
    tokenizer: Any


@dataclass(frozen=True)
class Features:
    """What the model reads: one entry per window of an example.

    `inputs[name][i]` is a list of token-level ints; names that begin with `decoder_` are padded to a width of their own.
    With `position_ids` a feature is a packed block and gets no attention mask. `targets[i]` is what the task's `pad_targets`
    takes, None for rows without answers. `example_ids[i]` is the row the window came from, in ascending order; a packed
    block holds pieces of several rows: this is the first, and `notes[i]` says which tokens belong to which.
    `n_tokens_cut[row]` counts the row's tokens that no window holds; `answers_cut[name]` counts, per row, what of the
    answers the model cannot see (entities, answers ...). `notes[i]` is what `decode` needs of the window (offsets ...).
    """

    inputs: dict[str, list[list[int]]]
    targets: list[Any]
    example_ids: list[int]
    n_tokens_cut: list[int]
    answers_cut: dict[str, list[int]] = field(default_factory=dict)
    notes: list[Any] = field(default_factory=list)

    @property
    def lengths(self) -> list[int]:
        """Tokens per feature, those of the decoder's input included."""
        decoder = self.inputs.get("decoder_input_ids")
        own = [len(ids) for ids in self.inputs["input_ids"]]
        return own if decoder is None else [n + len(ids) for n, ids in zip(own, decoder, strict=True)]


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
    # (rows with the task's columns, settings or None when predicting, where) -> rows in the one form that the other
    # functions know, and notes on what was changed. `where` names file and split. Raises DataError for a row that will not do.
    read_rows: Callable[[Rows, Any, str], tuple[Rows, list[str]]]
    # (settings, training rows, label names of the card or None, checkpoint) -> what the model must know of the data
    # (labels ...). The schema is a frozen dataclass of plain values: it is written to inference.json and read back.
    find_schema: Callable[[Any, Rows, Sequence[str] | None, Pretrained], Any]
    # The inverse of dataclasses.asdict for the schema, after a trip through JSON.
    load_schema: Callable[[Mapping[str, Any]], Any]
    # (rows, tokenizer, schema, max_length) -> features. Rows without answers are allowed (prediction).
    encode: Callable[[Rows, Any, Any, int], Features]
    # Name of the transformers Auto class per kind of checkpoint; a kind that is missing is refused in words.
    auto_class: Mapping[Kind, str]
    # schema -> keyword arguments for the model's config (num_labels, id2label ...).
    model_kwargs: Callable[[Any], dict[str, Any]]
    # (targets, padded width of the inputs, or of the decoder's where it has its own, schema) -> tensor.
    pad_targets: Callable[[Sequence[Any], int, Any], torch.Tensor]
    # (model outputs, batch, schema) -> the SUM of the loss over targets, a scalar tensor.
    loss_sum: Callable[[Any, Batch, Any], torch.Tensor]
    # (batch, schema) -> what the sum is divided by.
    count_targets: Callable[[Batch, Any], float]
    # (model outputs, batch, schema) -> one small value per feature, kept until all features of a split are there: never
    # logits over a vocabulary. None for a task that generates.
    predict: Callable[[Any, Batch, Any], Sequence[Any]] | None
    # (the values of all features, features, rows, schema) -> one JSON-able dict per example: what a user gets.
    decode: Callable[[Sequence[Any], Features, Rows, Any], list[dict[str, Any]]]
    # (row, schema) -> the row's true answer in the words that `decode` uses.
    gold: Callable[[Row, Any], Any]
    # (decoded predictions, rows, schema) -> (predictions, references) for the metrics.
    to_arrays: Callable[[Sequence[Mapping[str, Any]], Rows, Any], tuple[np.ndarray, np.ndarray]]
    # settings -> metrics by name; the first picks the best checkpoint unless the recipe says otherwise.
    metrics: Callable[[Any], dict[str, Metric]]
    # (predictions, references, schema) -> tables for the report (per class, confusion ...).
    details: Callable[[np.ndarray, np.ndarray, Any], dict[str, Any]]
    # name -> (training rows, evaluated rows, schema, seed) -> decoded predictions, none at all where the baseline cannot be
    # compared with this kind of checkpoint; the first is the recipe's default.
    baselines: Mapping[str, Callable[[Rows, Rows, Any, int], list[dict[str, Any]]]]
    # pipeline_tag of the Hub, for the model card.
    pipeline_tag: str
    # settings -> a few rows that serve the contract test, `--smoke` and the documentation.
    sample_rows: Callable[[Any], Rows]
    # The column that a plain text fills in `ftk predict MODEL "a text"`; None where one text is not enough.
    text_column: str | None = None
    # (model, batch, schema, tokenizer) -> one text per feature, by generation; takes the place of `predict`.
    generate: Callable[[Any, Batch, Any, Any], list[str]] | None = None
    # (model, schema): sets what the saved model holds beside its weights, such as generation settings.
    configure: Callable[[Any, Any], None] | None = None
    # (inputs of one feature, its note, schema, random numbers of this feature and epoch) -> (inputs, target), anew each
    # epoch: masked language modelling; an evaluation always sees the same. None takes the features as they are.
    corrupt: (
        Callable[[dict[str, list[int]], Any, Any, np.random.Generator], tuple[dict[str, list[int]], Any]] | None
    ) = None
    # (batch, schema) -> at which positions loss and prediction read the vocabulary, a bool tensor (features, tokens): the model
    # need not compute it elsewhere, so its logits may come as (1, positions, vocabulary). None, or None of it: everywhere.
    reads: Callable[[Batch, Any], torch.Tensor | None] | None = None
    # (values of all features of the validation rows, features, rows, schema) -> schema, once the best weights are known:
    # thresholds and temperatures that are chosen on validation.
    tune: Callable[[Sequence[Any], Features, Rows, Any], Any] | None = None
    # settings -> whether the answer of a row is one or more of the schema's labels, each with a probability: what can be
    # calibrated and held side by side for groups of rows. None where it never is.
    classifies: Callable[[Any], bool] | None = None


def is_labelled(row: Row, task: Task) -> bool:
    """Say whether a row has an answer. Missing is what is absent, null, or the NaN that pandas writes for it."""
    answers = [row.get(name) for name, column in task.columns.items() if column.is_answer]
    return not answers or any(value is not None and value == value for value in answers)


def without_answers(row: Row, task: Task) -> dict[str, Any]:
    """Return a row as somebody who wants a prediction would give it."""
    return {key: value for key, value in row.items() if key not in task.columns or not task.columns[key].is_answer}


def input_texts(row: Row, task: Task) -> list[str]:
    """Return the texts that the model reads of a row, lists of words joined."""
    values = (row.get(name) for name, column in task.columns.items() if not column.is_answer)
    return [" ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value) for value in values if value]


def applicable_metrics(task: Task, settings: Any, schema: Any) -> dict[str, Metric]:
    """Return the task's metrics that mean something for this data: binary averages need exactly two labels."""
    labels = getattr(schema, "labels", ())
    return {
        name: metric
        for name, metric in task.metrics(settings).items()
        if not name.endswith("_binary") or len(labels) == 2
    }
