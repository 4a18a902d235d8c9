"""Text classification: one text or a pair of texts; one label, several labels, or a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError
from ft_toolkit.metrics import calibration
from ft_toolkit.metrics.thresholds import Tuning, tune_thresholds
from ft_toolkit.tasks.base import (
    EVERY_CHANGE,
    WORD_CHANGES,
    Augmentation,
    Averaging,
    Baseline,
    Batch,
    Classifier,
    Column,
    Comparability,
    DefinedLabels,
    EmbeddingBaseline,
    Features,
    Graph,
    LabelSource,
    Member,
    PipelineCode,
    PipelineRequest,
    Pretrained,
    Robustness,
    Row,
    Rows,
    ScoredRun,
    Task,
    TaskSettings,
    input_texts,
)
from ft_toolkit.tasks.display.labels import largest_errors, wrong_label_sets, wrong_labels
from ft_toolkit.tasks.display.pipeline_code import pipeline_code
from ft_toolkit.tasks.display.prediction_form import ChosenLabels, Number, PredictionForm, ScoredLabel
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.guessing.labels import guess_labels
from ft_toolkit.tasks.text import baselines, class_loss, decisions, soft_labels
from ft_toolkit.tasks.text.averaging import mean_logits
from ft_toolkit.tasks.text.edits import EditsByColumn
from ft_toolkit.tasks.text.label_cells import read_label_column
from ft_toolkit.tasks.text.label_scores import MANY_LABELS, TOP, label_metrics, label_tables
from ft_toolkit.tasks.text.labels import (
    EARLIER_ORDER,
    ProblemType,
    check_labels,
    distinct_names,
    label_name,
    names_of,
    target_of,
)
from ft_toolkit.tasks.text.missing_labels import mark_missing_labels
from ft_toolkit.tasks.text.truncation import tokenize_and_cut
from ft_toolkit.tasks.text.windows import content_span, cut_window, windows

if TYPE_CHECKING:
    import torch


# Rows of many labels that are decoded together, and the least probability that the labels share that a prediction leaves out.
_DECODED_ROWS, _LEAST_REST = 4096, 1e-6


class Settings(class_loss.ClassLossSettings):
    """The `task:` section of a recipe. Problem types have the names of transformers."""

    name: Literal["text_classification"] = "text_classification"
    # One label per text, a list of labels per text, or a number.
    problem_type: ProblemType = "single_label_classification"
    # Label names in the order of the model's outputs. Default: the names in the data card, in a ClassLabel column or of the 0/1
    # columns, else the sorted names of the training rows. With two labels, the last one is the positive class of the binary
    # metrics. Numbers in the label column are read as positions in this list.
    labels: Annotated[list[str], Field(min_length=2)] | None = None
    # Multi-label: the probability from which a label is predicted. At 0.5, temperature scaling changes no label.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    # Tune thresholds on the validation rows for this metric: with several labels per row a threshold per label (f1_micro,
    # f1_macro), with two labels the probability from which the last one is predicted (all except f1_micro). They stay 0.5 if
    # that is as good in cross-validation. Default: not tuned.
    tune_thresholds: decisions.TunedMetric | None = None
    # Texts longer than data.max_length are cut, or read in overlapping windows (not for pairs of texts).
    long_texts: Literal["cut", "windows"] = "cut"


@dataclass(frozen=True)
class Schema:
    """Facts that the model needs."""

    problem_type: ProblemType
    labels: tuple[str, ...]
    class_weights: tuple[float, ...] | None
    threshold: float
    long_texts: Literal["cut", "windows"] = "cut"
    # The divisor of the logits before softmax or sigmoid; `tune` chooses it on the validation rows.
    temperature: float = 1.0
    # The source of the order of the labels, such as "task.labels"; None for the sorted names of the training rows.
    label_order: str | None = None
    # The loss; see `class_loss.ClassLoss`. `class_weights` above is part of it.
    absent_weights: tuple[float, ...] | None = None
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0
    # The metric for which `tune` chooses `thresholds`, the thresholds that replace `threshold`, and their scores.
    tune_thresholds: decisions.TunedMetric | None = None
    thresholds: tuple[float, ...] | None = None
    tuning: Tuning | None = None
    # Whether training rows have label_probabilities: targets are then a probability per label.
    soft_targets: bool = False


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    weights, absent_weights = (values.get(name) for name in ("class_weights", "absent_weights"))
    return Schema(
        values["problem_type"],
        tuple(values["labels"]),
        tuple(weights) if weights else None,
        values["threshold"],
        values["long_texts"],
        values.get("temperature", 1.0),
        values.get("label_order", EARLIER_ORDER),
        tuple(absent_weights) if absent_weights else None,
        values.get("focal_gamma", 0.0),
        values.get("label_smoothing", 0.0),
        values.get("tune_thresholds"),
        *decisions.load_tuning(values),
        soft_targets=values.get("soft_targets", False),
    )


def read_labels(rows: Rows, settings: Settings, source: LabelSource) -> tuple[Rows, list[str]]:
    """Convert the label column to names, lists of names or numbers, and the probabilities of labels to objects.

    See `read_label_column` and `soft_labels`. Every row gets a label.
    """
    defined = source.numbers or chosen_labels(settings, source.defined)
    rows, notes = soft_labels.read_probabilities(rows, settings.problem_type, source.where, defined, settings.threshold)
    rows, more = read_label_column(rows, settings.problem_type, replace(source, defined=defined))
    return rows, [*notes, *more]


def chosen_labels(settings: Settings, defined: DefinedLabels | None) -> DefinedLabels | None:
    """Return the labels of the recipe, else of the data, in NFC and without outer white space."""
    if settings.labels is not None:
        defined = DefinedLabels(tuple(settings.labels), "task.labels")
    return None if defined is None else replace(defined, names=tuple(map(label_name, defined.names)))


def defined_labels(schema: Schema) -> DefinedLabels | None:
    """Return the labels of a model, if their order was defined."""
    if schema.label_order is None or schema.problem_type == "regression":
        return None
    return DefinedLabels(schema.labels, f"the training run ({schema.label_order})")


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check that texts are texts. Raises DataError."""
    for number, row in enumerate(rows, 1):
        for column in ("text", "text_pair"):
            if column in row and not isinstance(row[column], str):
                raise DataError(f"{where}: row {number}: column '{column}' must be text; found {row[column]!r}")
    return rows, []


def answer_form(row: Row, settings: Settings) -> str:
    """Return the label cell, whose type matters, and the most probable label; empty for numbers to predict."""
    return "" if settings.problem_type == "regression" else f"{row.get('label')!r} {soft_labels.answer_form(row)}"


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained | None) -> Schema:
    """Find the label names (of the recipe, else of the data, else of the rows) and the class weights.

    Raises DataError for labels that do not fit the problem type.
    """
    problem_type = settings.problem_type
    if problem_type == "regression":
        decisions.check_tuning(settings.tune_thresholds, settings.threshold, problem_type, ())
        for name in class_loss.ClassLossSettings.model_fields.keys() - TaskSettings.model_fields.keys():
            if getattr(settings, name):
                raise DataError(f"task.{name} is not supported with task.problem_type=regression; remove it")
        for where, row in _numbered(rows):
            target_of(row["label"], problem_type, (), where)
        return Schema(problem_type, ("score",), None, settings.threshold, settings.long_texts)
    if problem_type == "single_label_classification" and any(isinstance(row["label"], (list, tuple)) for row in rows):
        raise DataError("the training rows have lists of labels; set task.problem_type=multi_label_classification")
    chosen = chosen_labels(settings, defined)
    names = [name for row in rows for name in names_of(row["label"], problem_type)] + soft_labels.names_in(rows)
    labels = distinct_names(names) if chosen is None else chosen.names
    check_labels(labels, len(rows), problem_type, is_chosen=chosen is not None)
    order = chosen.by if chosen is not None else _order_of_head(labels, pretrained)
    for where, row in _numbered(rows):
        target_of(row["label"], problem_type, labels, where, order=order)
    decisions.check_tuning(settings.tune_thresholds, settings.threshold, problem_type, labels)
    weights = absent_weights = None
    has_soft_targets = any(row.get(soft_labels.COLUMN) is not None for row in rows)
    schema = Schema(
        problem_type,
        labels,
        None,
        settings.threshold,
        settings.long_texts,
        label_order=order,
        focal_gamma=settings.focal_gamma,
        label_smoothing=settings.label_smoothing,
        tune_thresholds=settings.tune_thresholds,
        soft_targets=has_soft_targets,
    )
    if has_soft_targets:
        _training_targets(rows, schema)  # raises DataError
    if settings.class_weights is not None:
        counts = _label_counts(rows, schema)
        if problem_type == "multi_label_classification":
            weights, absent_weights = class_loss.presence_weights(settings.class_weights, counts, len(rows), labels)
        else:
            weights = class_loss.weights_of(settings.class_weights, counts, labels, "the label")
    return replace(schema, class_weights=weights, absent_weights=absent_weights)


def _label_counts(rows: Rows, schema: Schema) -> list[float]:
    """Return the number of rows with each label; of soft targets, the sum of the probabilities."""
    counts = [0.0] * len(schema.labels)
    for target in _training_targets(rows, schema):
        if isinstance(target, list):
            counts = [count + value for count, value in zip(counts, target, strict=True)]
        else:
            counts[target] += 1
    return counts


def _order_of_head(labels: tuple[str, ...], pretrained: Pretrained | None) -> str | None:
    """Return the name of the order if the checkpoint's id2label has these labels in this order, otherwise None."""
    id2label = dict(pretrained.config.id2label or {}) if pretrained is not None else {}
    has_order = tuple(str(id2label[index]) for index in sorted(id2label)) == labels
    return "id2label of the checkpoint" if has_order else None


def _numbered(rows: Rows) -> Iterator[tuple[str, Row]]:
    """Yield each row with its name for messages: "row ID", or its number from 1."""
    return ((f"row {row.get('id', number)}", row) for number, row in enumerate(rows, 1))


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature of at most max_length tokens, or into overlapping windows of that length.

    Each window is a feature with the target of its row, so a text of three windows has three times the weight in the loss.
    """
    if schema.long_texts == "windows":
        return _encode_windows(rows, tokenizer, schema, max_length)
    texts = [str(row["text"]) for row in rows]
    pairs = [str(row["text_pair"]) for row in rows] if rows and "text_pair" in rows[0] else None
    inputs, n_cut = tokenize_and_cut(tokenizer, texts, pairs, max_length)
    for i, ids in enumerate(inputs["input_ids"]):
        if not ids:  # without special tokens (GPT-2), an empty text has no token
            inputs["input_ids"][i] = [tokenizer.pad_token_id]
    return Features(inputs, _training_targets(rows, schema), list(range(len(rows))), n_cut)


def _training_targets(rows: Rows, schema: Schema) -> list[Any]:
    """Return the targets of the loss: those of `_targets` or, with soft targets, a probability per label."""
    if not schema.soft_targets:
        return _targets(rows, schema)
    return [_soft_target(row, schema, where) if "label" in row else None for where, row in _numbered(rows)]


def _soft_target(row: Row, schema: Schema, where: str) -> list[float]:
    """Return the probabilities of a row; 1 for the labels of a row without probabilities, and 0 for the others."""
    if row.get(soft_labels.COLUMN) is not None:
        return soft_labels.soft_target(row, schema.labels, schema.label_order, schema.problem_type, where)
    target = _target(row, schema, where)
    return [float(value) for value in (target if isinstance(target, list) else np.arange(len(schema.labels)) == target)]


def _targets(rows: Rows, schema: Schema) -> list[Any]:
    return [_target(row, schema, where) if "label" in row else None for where, row in _numbered(rows)]


def _target(row: Row, schema: Schema, where: str) -> Any:
    return target_of(row["label"], schema.problem_type, schema.labels, where, order=schema.label_order)


def _encode_windows(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return windows of at most max_length tokens with special tokens; neighbouring windows share a quarter of their tokens."""
    if rows and "text_pair" in rows[0]:
        raise DataError("task.long_texts=windows does not support pairs of texts; set task.long_texts=cut")
    if not rows:
        return Features({"input_ids": []}, [], [], [])
    texts = [str(row["text"]) for row in rows]
    encoded = tokenizer(texts, return_special_tokens_mask=True, return_attention_mask=False, verbose=False)
    special = encoded.pop("special_tokens_mask")
    inputs: dict[str, list[list[int]]] = {name: [] for name in encoded}
    targets: list[Any] = []
    example_ids: list[int] = []
    for i, target in enumerate(_training_targets(rows, schema)):
        content = start, stop = content_span(special[i])
        size = max_length - (len(special[i]) - (stop - start))
        for window in windows(stop - start, size, size // 4):
            for name, ids in encoded.items():
                # without special tokens, an empty text has no token
                inputs[name].append(cut_window(ids[i], content, window) or [tokenizer.pad_token_id])
            targets.append(target)
            example_ids.append(i)
    return Features(inputs, targets, example_ids, [0] * len(rows))


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return the label names and the problem type for the checkpoint's config."""
    return {
        "num_labels": len(schema.labels),
        "id2label": dict(enumerate(schema.labels)),
        "label2id": {label: index for index, label in enumerate(schema.labels)},
        "problem_type": schema.problem_type,
    }


def pad_targets(targets: Sequence[Any], width: int, schema: Schema) -> torch.Tensor:
    """Return indices (features,), a matrix of 0/1 or of probabilities (features, labels), or numbers (features,)."""
    import torch

    are_indices = schema.problem_type == "single_label_classification" and not schema.soft_targets
    return torch.tensor(targets, dtype=torch.long if are_indices else torch.float)


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the sum of the cross entropy, binary cross entropy (see `class_loss`) or squared error, in float32."""
    from torch.nn import functional

    logits = outputs.logits.float()
    if schema.problem_type == "regression":
        return functional.mse_loss(logits.squeeze(-1), batch.targets, reduction="sum")
    if schema.problem_type == "multi_label_classification":
        if schema.soft_targets:
            return class_loss.soft_multi_label_loss_sum(logits, batch.targets, schema)
        return class_loss.multi_label_loss_sum(logits, batch.targets, schema)
    if schema.soft_targets:
        return class_loss.soft_label_loss_sum(logits, batch.targets, schema)
    return class_loss.single_label_loss_sum(logits, batch.targets, schema)


def count_targets(batch: Batch, schema: Schema) -> float:
    """Return the number of targets; with class weights, the sum of their weights, as in PyTorch's mean reduction."""
    if schema.problem_type == "regression":
        return float(batch.targets.numel())
    if schema.problem_type == "multi_label_classification":
        return class_loss.count_multi_label(batch.targets, schema)
    if schema.soft_targets:
        return class_loss.count_soft_label(batch.targets, schema)
    return class_loss.count_single_label(batch.targets, schema)


def values(outputs: Mapping[str, np.ndarray], lengths: Sequence[int], schema: Schema) -> list[np.ndarray]:
    """Return the logits of each feature, shape (labels,)."""
    return list(outputs["logits"])


GRAPH = Graph(("logits",), values)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return one dict per example: label, score and probabilities; labels and probabilities; or score."""
    raw = _logits(values, features, rows, schema)
    if schema.problem_type == "regression":
        return [{"score": float(value)} for value in raw[:, 0]]
    is_multi_label = schema.problem_type == "multi_label_classification"
    if not is_multi_label and len(schema.labels) > MANY_LABELS:
        return _most_likely(raw, schema)
    likely = calibration.probabilities_of(raw, multi_label=is_multi_label, temperature=schema.temperature)
    named = [dict(zip(schema.labels, map(_rounded, row), strict=True)) for row in likely.tolist()]
    if is_multi_label:
        sets = decisions.label_sets(likely, schema)
        return [{"labels": labels, "probabilities": n} for labels, n in zip(sets, named, strict=True)]
    best = decisions.label_indices(raw, likely, schema)
    return [
        {"label": schema.labels[i], "score": _rounded(row[i]), "probabilities": n}
        for i, row, n in zip(best.tolist(), likely.tolist(), named, strict=True)
    ]


def prediction_form(schema: Schema) -> PredictionForm:
    """Return the keys of a prediction: a label, several labels, or a number."""
    if schema.problem_type == "regression":
        return PredictionForm(Number)
    is_multi_label = schema.problem_type == "multi_label_classification"
    return PredictionForm(ChosenLabels if is_multi_label else ScoredLabel, probabilities="probabilities")


def _most_likely(raw: np.ndarray, schema: Schema) -> list[dict[str, Any]]:
    """Return the predictions with the TOP most likely labels, the most likely first, from logits of shape (n, labels)."""
    decoded: list[dict[str, Any]] = []
    for start in range(0, len(raw), _DECODED_ROWS):
        logits = raw[start : start + _DECODED_ROWS]
        likely = calibration.probabilities_of(logits, multi_label=False, temperature=schema.temperature)
        top = np.argsort(-likely, axis=1, kind="stable")[:, :TOP]
        shown = np.take_along_axis(likely, top, 1).tolist()
        best = decisions.label_indices(logits, likely, schema).tolist()
        for label, row, indices, values in zip(best, likely, top.tolist(), shown, strict=True):
            named = {schema.labels[i]: _rounded(value) for i, value in zip(indices, values, strict=True)}
            decoded.append(
                {"label": schema.labels[label], "score": _rounded(float(row[label])), "probabilities": named}
            )
    return decoded


def _logits(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> np.ndarray:
    """Return the logits of each row, shape (n, labels): the mean over its windows, weighted by their tokens."""
    raw = np.stack(values)
    if schema.long_texts == "cut":
        return raw
    weights = np.array(features.lengths, np.float32)[:, None]
    sums = np.zeros((2, len(rows), raw.shape[1]), np.float32)
    np.add.at(sums[0], features.example_ids, raw * weights)
    np.add.at(sums[1], features.example_ids, weights)
    return np.asarray(sums[0] / sums[1])


def average(members: Sequence[Member], rows: Rows) -> tuple[list[np.ndarray], Features]:
    """Return the logits of the mean of the members' probabilities, or the mean of their numbers, and one feature per row."""
    raw = [_logits(member.values, member.features, rows, member.schema) for member in members]
    problem_type = members[0].schema.problem_type
    if problem_type == "regression":
        mean = np.mean(raw, axis=0)
    else:
        multi_label = problem_type == "multi_label_classification"
        likely = [
            calibration.probabilities_of(logits, multi_label=multi_label, temperature=member.schema.temperature)
            for logits, member in zip(raw, members, strict=True)
        ]
        mean = mean_logits(likely, multi_label=multi_label)
    n = len(rows)
    return list(mean), Features({"input_ids": [[0]] * n}, [None] * n, list(range(n)), [0] * n)


def _rounded(probability: float) -> float:
    """Round to six significant digits, which keeps the logarithm of small probabilities."""
    return float(f"{probability:.6g}")


def tune(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Schema:
    """Choose the temperature whose probabilities fit the labels of the validation rows best, then the thresholds."""
    if schema.problem_type == "regression":
        return schema
    targets = np.array(_targets(rows, schema))
    logits = _logits(values, features, rows, schema)
    schema = replace(schema, temperature=calibration.fit_temperature(logits, targets))
    if schema.tune_thresholds is None:
        return schema
    is_multi_label = schema.problem_type == "multi_label_classification"
    likely = calibration.probabilities_of(logits, multi_label=is_multi_label, temperature=schema.temperature)
    chosen, tuning = tune_thresholds(likely if is_multi_label else likely[:, 1], targets, schema.tune_thresholds)
    return replace(schema, thresholds=chosen, tuning=tuning)


def reference_answer(row: Row, schema: Schema) -> Any:
    """Return the true label, the list of true labels, or the true number."""
    target = _target(row, schema, f"row {row.get('id')}")
    if schema.problem_type == "regression":
        return target
    if schema.problem_type == "multi_label_classification":
        return [label for label, present in zip(schema.labels, target, strict=True) if present]
    return schema.labels[target]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and references: indices (n,), 0/1 matrices (n, labels), or numbers (n,)."""
    references = _targets(rows, schema)
    if schema.problem_type == "regression":
        return np.array([prediction["score"] for prediction in decoded], np.float64), np.array(references, np.float64)
    if schema.problem_type == "multi_label_classification":
        chosen = [[label in prediction["labels"] for label in schema.labels] for prediction in decoded]
        return np.array(chosen, np.int64), np.array(references, np.int64).reshape(len(rows), -1)
    index = {label: i for i, label in enumerate(schema.labels)}
    return np.array([index[prediction["label"]] for prediction in decoded], np.int64), np.array(references, np.int64)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the scores per label and, for one label per text, the confusion matrix; nothing for regression."""
    return {} if schema.problem_type == "regression" else label_tables(predictions, references, schema.labels)


def majority_baseline(train: Rows, rows: Sized, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict the most frequent training class, the labels of more than half the training rows, or the mean."""
    targets = baselines.majority(np.array(_targets(train, schema)), schema.problem_type)
    return _predictions(np.repeat(targets[None], len(rows), axis=0), schema)


def tfidf_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict by TF-IDF of words and characters; falls back to the majority for a single class or empty texts."""
    train_texts, texts = ([" ".join(input_texts(row, TASK)) for row in part] for part in (train, rows))
    targets = baselines.tfidf(train_texts, texts, np.array(_targets(train, schema)), schema.problem_type, seed)
    return majority_baseline(train, rows, schema, seed) if targets is None else _predictions(targets, schema)


def frozen_embeddings_baseline(
    train: Rows, train_vectors: np.ndarray, vectors: np.ndarray, schema: Schema, seed: int
) -> list[dict[str, Any]]:
    """Predict by a linear model of the checkpoint's embeddings; falls back to the majority for a single class."""
    targets = baselines.linear_probe(
        train_vectors, vectors, np.array(_targets(train, schema)), schema.problem_type, seed
    )
    return majority_baseline(train, vectors, schema, seed) if targets is None else _predictions(targets, schema)


def _predictions(targets: np.ndarray, schema: Schema) -> list[dict[str, Any]]:
    """Return targets as predictions: the inverse of `to_arrays`."""
    if schema.problem_type == "regression":
        return [{"score": float(value)} for value in targets]
    if schema.problem_type == "single_label_classification":
        return [{"label": schema.labels[index]} for index in targets]
    return [{"labels": [label for label, is_set in zip(schema.labels, row, strict=True) if is_set]} for row in targets]


def answer(prediction: Mapping[str, Any], schema: Schema) -> str | list[str] | float:
    """Return the label, the list of labels, or the number."""
    keys = {"single_label_classification": "label", "multi_label_classification": "labels", "regression": "score"}
    predicted: str | list[str] | float = prediction[keys[schema.problem_type]]
    return predicted


def confidence(prediction: Mapping[str, Any]) -> float:
    """Return the probability of the predicted label; 0 for sets of labels, numbers and baselines."""
    return float(prediction.get("score") or 0.0) if "label" in prediction else 0.0


def label_names(schema: Schema) -> tuple[str, ...]:
    """Return the label names; none for regression."""
    return () if schema.problem_type == "regression" else schema.labels


def classifier(settings: Settings) -> Classifier | None:
    """Return how to read predictions as labels with probabilities; None for regression."""
    if settings.problem_type == "regression":
        return None
    explained = None if settings.long_texts == "windows" else explained_label
    return Classifier(
        probabilities,
        lambda schema: schema.temperature,
        lambda schema, temperature: replace(schema, temperature=temperature),
        explained,
    )


def probabilities(predictions: Sequence[Mapping[str, Any]], schema: Schema) -> np.ndarray:
    """Return the probabilities of predictions, shape (n, labels)."""
    if schema.problem_type != "single_label_classification" or len(schema.labels) <= MANY_LABELS:
        return np.array([[prediction["probabilities"][label] for label in schema.labels] for prediction in predictions])
    # predictions have the most likely labels only: the other labels share the rest, half the precision needs half the memory
    index = {label: i for i, label in enumerate(schema.labels)}
    likely = np.empty((len(predictions), len(schema.labels)), np.float32)
    for row, prediction in zip(likely, predictions, strict=True):
        named = prediction["probabilities"]
        row[:] = max(1 - sum(named.values()), _LEAST_REST) / max(len(schema.labels) - len(named), 1)
        row[[index[label] for label in named]] = list(named.values())
    return likely


def explained_label(record: Mapping[str, Any]) -> str:
    """Return the predicted label or, of a set of labels, the wrong decision with the highest confidence."""
    if "label" in record:
        return str(record["label"])
    wrong = sorted(set(record["gold"]) ^ set(record["labels"]))
    predicted, likely = set(record["labels"]), record["probabilities"]
    return str(max(wrong, key=lambda label: likely[label] if label in predicted else 1 - likely[label]))


def robustness(settings: Settings) -> Robustness | None:
    """Return the robustness check. None for regression: a number changes a little with every text."""
    if settings.problem_type == "regression":
        return None
    return Robustness(("text", "text_pair"), EVERY_CHANGE, same_answer=_same_labels)


def _same_labels(before: Any, after: Any, edits: EditsByColumn) -> bool:
    return sorted(before) == sorted(after) if isinstance(before, list) else bool(before == after)


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Refuse runs with different problem types; skip binary metrics when the runs order their labels differently."""
    if first.schema.problem_type != other.schema.problem_type:
        types = f"{first.schema.problem_type}, {other.schema.problem_type}"
        return Comparability(f"they differ in task.problem_type ({types})")
    if first.schema.labels == other.schema.labels:
        return Comparability()
    binary = tuple(
        name for name, metric in label_metrics("single_label_classification").items() if metric.needs_two_labels
    )
    return Comparability(
        None, binary, "The runs have different label orders, so scores of the positive class are not compared."
    )


def wrong_examples(records: Sequence[Mapping[str, Any]], schema: Schema) -> WrongExamples:
    """Return the wrong labels or sets of labels with the highest confidence, or the largest errors of numbers."""
    if schema.problem_type == "regression":
        return largest_errors(records)
    if schema.problem_type == "multi_label_classification":
        return wrong_label_sets(records, decisions.label_thresholds(schema))
    return wrong_labels(records)


def prediction_text(schema: Schema) -> str:
    """Return a sentence for the model card."""
    return {
        "single_label_classification": "A prediction has the label, its probability (score) and "
        + ("all probabilities." if len(schema.labels) <= MANY_LABELS else f"the {TOP} largest probabilities."),
        "multi_label_classification": "A prediction has the labels and all probabilities.",
        "regression": "A prediction is a number (score).",
    }[schema.problem_type]


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the text-classification pipeline."""
    arguments = [request.example]
    if request.max_length:
        arguments.append(f"truncation=True, max_length={request.max_length}")
    remark = ""
    if schema.problem_type == "multi_label_classification":
        arguments.append("top_k=None")
        remark = decisions.pipeline_remark(schema)
    elif schema.problem_type == "regression":
        arguments.append('function_to_apply="none"')
    else:
        remark = decisions.pipeline_remark(schema)
    code = pipeline_code(
        request,
        tag="text-classification",
        auto_class="AutoModelForSequenceClassification",
        variable="classify",
        call=f"classify({', '.join(arguments)})",
    )
    return PipelineCode(code, remark)


_SAMPLES = [
    {"text": "The new kettle boils water in under two minutes and I love it.", "label": "praise"},
    {"text": "My parcel has been stuck at the depot since Monday.", "label": "complaint"},
    {"text": "Does the blue model fit a standard wall bracket?", "label": "question"},
    {"text": "Best headphones I have owned, the sound is warm and clear.", "label": "praise"},
    {"text": "The screen cracked on the second day and nobody answers.", "label": "complaint"},
    {"text": "How long does the battery last on one charge?", "label": "question"},
    {"text": "Lovely staff, quick delivery, thank you very much.", "label": "praise"},
    {"text": "You charged my card twice for the same lamp.", "label": "complaint"},
    {"text": "Which cable do I need for an older television?", "label": "question"},
    {"text": "Works perfectly with everything we have at home.", "label": "praise"},
    {"text": "The left speaker hums whenever the light is on.", "label": "complaint"},
    {"text": "Can I change the address of an order after paying?", "label": "question"},
]


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve rows that fit the problem type, with the labels of the recipe if it has any."""
    labels = settings.labels or sorted({row["label"] for row in _SAMPLES})
    position = {label: index for index, label in enumerate(sorted({row["label"] for row in _SAMPLES}))}
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(_SAMPLES):
        index = position[row["label"]]
        label: Any = labels[(index if len(labels) <= 3 else number) % len(labels)]
        if settings.problem_type == "regression":
            label = index + number / 10
        elif settings.problem_type == "multi_label_classification":
            label = sorted({label, labels[number % 2]})
        rows.append({"id": str(number + 1), "text": row["text"], "label": label})
    return rows


def labels_of(row: Row, settings: Settings) -> list[str]:
    """Return the label names of a row; none for a number."""
    return [] if settings.problem_type == "regression" else names_of(row["label"], settings.problem_type)


TASK = Task(
    name="text_classification",
    settings=Settings,
    columns={
        "text": Column("the text", example="A text."),
        "text_pair": Column("a second text, for tasks on pairs", required=False, example="Its partner."),
        "label": Column(
            "the label, a list of labels (in text files separated by data.label_separator), or a number",
            is_answer=True,
            several=True,
            alternative=soft_labels.COLUMN,
        ),
        soft_labels.COLUMN: Column(
            "soft targets: an object {label: probability}, or a list in the order of the labels (JSON in text files)",
            required=False,
            is_answer=True,
            only_training=True,
        ),
    },
    mark_missing=lambda rows, settings: mark_missing_labels(
        soft_labels.mark_missing_probabilities(rows), settings.problem_type
    ),
    read_labels=read_labels,
    read_rows=read_rows,
    answer_form=answer_form,
    augmentation=lambda settings: Augmentation({"text": WORD_CHANGES, "text_pair": WORD_CHANGES}),
    guess=guess_labels,
    labels_of=labels_of,
    defined_labels=defined_labels,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={
        "encoder": "AutoModelForSequenceClassification",
        "decoder": "AutoModelForSequenceClassification",
        "encoder-decoder": "AutoModelForSequenceClassification",
    },
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=GRAPH.predict,
    graph=GRAPH,
    decode=decode,
    reference_answer=reference_answer,
    answer=answer,
    confidence=confidence,
    prediction_form=prediction_form,
    not_in_csv=("probabilities",),
    to_arrays=to_arrays,
    metrics=lambda settings: label_metrics(settings.problem_type),
    details=details,
    baselines={
        "majority": Baseline(majority_baseline, "the most frequent answer of the training rows"),
        "tfidf": Baseline(
            tfidf_baseline, "a linear model of words and characters", max_characters=baselines.MAX_CHARACTERS
        ),
        "frozen_embeddings": EmbeddingBaseline(
            frozen_embeddings_baseline, "a linear model of the embeddings of the checkpoint before training"
        ),
    },
    example_metric="accuracy",
    classifier=classifier,
    robustness=robustness,
    comparability=comparability,
    wrong_examples=wrong_examples,
    pipeline_tag="text-classification",
    sample_rows=sample_rows,
    text_column="text",
    tune=tune,
    tuning_text=decisions.tuning_text,
    averaging=Averaging(average, ("problem_type", "labels"), lambda schema: replace(schema, temperature=1.0)),
    stratify_by=lambda settings: "label" if settings.problem_type == "single_label_classification" else None,
    has_label_sets=lambda settings: settings.problem_type == "multi_label_classification",
    labels=label_names,
    pipeline=pipeline,
    prediction_text=prediction_text,
    reads_windows=lambda schema: schema.long_texts == "windows",
)
