"""Text classification: one text or a pair of texts; one label, several labels, or a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError
from ft_toolkit.metrics import calibration, classification, regression
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    EVERY_CHANGE,
    Baseline,
    Batch,
    Classifier,
    Column,
    Comparability,
    Features,
    Package,
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
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.text import baselines
from ft_toolkit.tasks.text.edits import EditsByColumn
from ft_toolkit.tasks.text.labels import ProblemType, check_labels, index_of, names_of, sorted_names, target_of
from ft_toolkit.tasks.text.windows import content_span, windows

if TYPE_CHECKING:
    import torch


class Settings(TaskSettings):
    """What stands under `task:`; problem types are named as in transformers."""

    name: Literal["text_classification"] = "text_classification"
    # One label per text, a list of labels per text, or a number.
    problem_type: ProblemType = "single_label_classification"
    # Label names in the order of the model's outputs; null takes the card's, else the sorted names of the training rows.
    # With two labels the last one is the positive class of the binary metrics.
    labels: Annotated[list[str], Field(min_length=2)] | None = None
    # balanced weighs each class by rows / (classes * rows of the class), as scikit-learn does.
    class_weights: Literal["balanced"] | None = None
    # Multi-label: a label is predicted from this probability on; at 0.5 the calibration of probabilities changes no label.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    # Texts longer than data.max_length: cut off, or read in overlapping windows. Not for pairs of texts.
    long_texts: Literal["cut", "windows"] = "cut"


@dataclass(frozen=True)
class Schema:
    """What the model must know of the data."""

    problem_type: ProblemType
    labels: tuple[str, ...]
    class_weights: tuple[float, ...] | None
    threshold: float
    long_texts: Literal["cut", "windows"] = "cut"
    # Logits are divided by it before they become probabilities; chosen on validation by `tune`.
    temperature: float = 1.0


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    weights = values["class_weights"]
    return Schema(
        values["problem_type"],
        tuple(values["labels"]),
        tuple(weights) if weights else None,
        values["threshold"],
        values["long_texts"],
        values.get("temperature", 1.0),
    )


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check that texts are texts and no label is an empty one."""
    for number, row in enumerate(rows, 1):
        for column in ("text", "text_pair"):
            if column in row and not isinstance(row[column], str):
                raise DataError(f"{where}: row {number}: column '{column}' holds {row[column]!r}; text is needed")
        if isinstance(label := row.get("label"), str) and not label.strip():
            raise DataError(f"{where}: row {number}: column 'label' is empty; every row needs a label")
    return rows, []


def find_schema(
    settings: Settings, rows: Rows, card_labels: Sequence[str] | None, pretrained: Pretrained | None
) -> Schema:
    """Find the label names (recipe, else card, else the sorted names of the rows) and the class weights.

    Raises DataError where the labels do not suit the problem type.
    """
    problem_type = settings.problem_type
    if problem_type == "regression":
        if settings.class_weights:
            raise DataError("task.class_weights needs classes; regression has none. Remove it.")
        for number, row in enumerate(rows, 1):
            target_of(row["label"], problem_type, (), f"training row {number}")
        return Schema(problem_type, ("score",), None, settings.threshold, settings.long_texts)
    if problem_type == "single_label_classification" and any(isinstance(row["label"], (list, tuple)) for row in rows):
        raise DataError("the training rows have lists of labels; set task.problem_type=multi_label_classification")
    given = settings.labels or card_labels
    names = [name for row in rows for name in names_of(row["label"], problem_type)]
    labels = tuple(given) if given else tuple(sorted_names(set(names)))
    check_labels(labels, len(rows), problem_type, given is not None)
    for number, row in enumerate(rows, 1):
        target_of(row["label"], problem_type, labels, f"training row {number}")
    weights = None
    if settings.class_weights == "balanced":
        counts = Counter(index_of(name, labels, "") for name in names)
        if missing := [label for index, label in enumerate(labels) if not counts[index]]:
            raise DataError(f"task.class_weights=balanced: no training row has the label {missing[0]!r}")
        total = sum(counts.values())
        weights = tuple(total / (len(labels) * counts[index]) for index in range(len(labels)))
    return Schema(problem_type, labels, weights, settings.threshold, settings.long_texts)


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature of at most max_length tokens, or into overlapping windows of that length.

    Each window is a feature of its own with the row's target: a text of three windows weighs three times in the loss.
    """
    if schema.long_texts == "windows":
        return _encode_windows(rows, tokenizer, schema, max_length)
    texts = [str(row["text"]) for row in rows]
    pairs = [str(row["text_pair"]) for row in rows] if rows and "text_pair" in rows[0] else None
    whole = tokenizer(texts, pairs, return_attention_mask=False, verbose=False) if texts else {"input_ids": []}
    inputs: dict[str, list[list[int]]] = {name: list(values) for name, values in whole.items()}
    cut = [0] * len(rows)
    too_long = [i for i, ids in enumerate(inputs["input_ids"]) if len(ids) > max_length]
    if too_long:
        some_pairs = [pairs[i] for i in too_long] if pairs else None
        short = tokenizer(
            [texts[i] for i in too_long],
            some_pairs,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
        )
        for position, i in enumerate(too_long):
            cut[i] = len(inputs["input_ids"][i]) - len(short["input_ids"][position])
            for name in inputs:
                inputs[name][i] = short[name][position]
    for i, ids in enumerate(inputs["input_ids"]):
        if not ids:  # GPT-2 adds no special tokens, so an empty text has none at all
            inputs["input_ids"][i] = [tokenizer.pad_token_id]
    return Features(inputs, _targets(rows, schema), list(range(len(rows))), cut)


def _targets(rows: Rows, schema: Schema) -> list[Any]:
    return [
        target_of(row["label"], schema.problem_type, schema.labels, f"row {number}") if "label" in row else None
        for number, row in enumerate(rows, 1)
    ]


def _encode_windows(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return windows of at most max_length tokens, special ones included; neighbours share a quarter of their tokens."""
    if rows and "text_pair" in rows[0]:
        raise DataError(
            "task.long_texts=windows reads one text; with pairs it is not clear which to cut. Set it to cut"
        )
    features = Features({"input_ids": []}, [], [], [0] * len(rows))
    if not rows:
        return features
    texts = [str(row["text"]) for row in rows]
    whole = tokenizer(texts, return_special_tokens_mask=True, return_attention_mask=False, verbose=False)
    special = whole.pop("special_tokens_mask")
    features.inputs.update({name: [] for name in whole})
    for i, target in enumerate(_targets(rows, schema)):
        start, stop = content_span(special[i])
        size = max_length - len(special[i]) + stop - start
        for first, end in windows(stop - start, size, size // 4):
            for name, ids in whole.items():
                one = [*ids[i][:start], *ids[i][start + first : start + end], *ids[i][stop:]]
                features.inputs[name].append(one or [tokenizer.pad_token_id])  # an empty text without special tokens
            features.targets.append(target)
            features.example_ids.append(i)
    return features


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return what the checkpoint's config needs: label names in both directions and the problem type."""
    return {
        "num_labels": len(schema.labels),
        "id2label": dict(enumerate(schema.labels)),
        "label2id": {label: index for index, label in enumerate(schema.labels)},
        "problem_type": schema.problem_type,
    }


def pad_targets(targets: Sequence[Any], width: int, schema: Schema) -> torch.Tensor:
    """Return indices (features,), a 0/1 matrix (features, labels), or numbers (features,)."""
    import torch

    return torch.tensor(
        targets, dtype=torch.long if schema.problem_type == "single_label_classification" else torch.float
    )


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the summed cross entropy, binary cross entropy or squared error, computed in float32."""
    import torch
    from torch.nn import functional

    logits = outputs.logits.float()
    weights = torch.tensor(schema.class_weights, device=logits.device) if schema.class_weights else None
    if schema.problem_type == "regression":
        return functional.mse_loss(logits.squeeze(-1), batch.targets, reduction="sum")
    if schema.problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, batch.targets, weight=weights, reduction="sum")
    return functional.cross_entropy(logits, batch.targets, weight=weights, reduction="sum")


def count_targets(batch: Batch, schema: Schema) -> float:
    """Return the number of targets; with class weights, the sum of their weights, as PyTorch's mean does."""
    if schema.problem_type == "single_label_classification" and schema.class_weights:
        return float(sum(schema.class_weights[target] for target in batch.targets.tolist()))
    return float(batch.targets.numel())


def predict(outputs: Any, batch: Batch, schema: Schema) -> list[np.ndarray]:
    """Return the logits of each feature, shape (labels,)."""
    return list(outputs.logits.float().cpu().numpy())


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return one dict per example: label, score and probabilities; labels and probabilities; or score."""
    raw = _logits(values, features, rows, schema)
    if schema.problem_type == "regression":
        return [{"score": float(value)} for value in raw[:, 0]]
    several = schema.problem_type == "multi_label_classification"
    probabilities = calibration.probabilities_of(raw, several=several, temperature=schema.temperature)
    named = [dict(zip(schema.labels, map(_rounded, row), strict=True)) for row in probabilities.tolist()]
    if several:
        return [
            {
                "labels": [label for label, p in zip(schema.labels, row, strict=True) if p >= schema.threshold],
                "probabilities": n,
            }
            for row, n in zip(probabilities.tolist(), named, strict=True)
        ]
    best = raw.argmax(axis=1)
    return [
        {"label": schema.labels[i], "score": _rounded(row[i]), "probabilities": n}
        for i, row, n in zip(best.tolist(), probabilities.tolist(), named, strict=True)
    ]


def _logits(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> np.ndarray:
    """Return the logits of each example, shape (n, labels).

    Those of a text in several windows are averaged, each window weighing as many as it has tokens.
    """
    raw = np.stack(values)
    if schema.long_texts == "cut":
        return raw
    weights = np.array(features.lengths, np.float32)[:, None]
    sums = np.zeros((2, len(rows), raw.shape[1]), np.float32)
    np.add.at(sums[0], features.example_ids, raw * weights)
    np.add.at(sums[1], features.example_ids, weights)
    return np.asarray(sums[0] / sums[1])


def _rounded(probability: float) -> float:
    """Return six significant digits: a small probability keeps its logarithm."""
    return float(f"{probability:.6g}")


def tune(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Schema:
    """Choose the temperature with which the probabilities of the validation rows fit their labels best."""
    if schema.problem_type == "regression":
        return schema
    targets = _targets(rows, schema)
    logits = _logits(values, features, rows, schema)
    return replace(schema, temperature=calibration.fit_temperature(logits, np.array(targets)))


def reference_answer(row: Row, schema: Schema) -> Any:
    """Return the true label, the list of true labels, or the true number."""
    target = target_of(row["label"], schema.problem_type, schema.labels, f"row {row.get('id')}")
    if schema.problem_type == "regression":
        return target
    if schema.problem_type == "multi_label_classification":
        return [label for label, present in zip(schema.labels, target, strict=True) if present]
    return schema.labels[target]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and references: indices (n,), 0/1 matrices (n, labels), or numbers (n,)."""
    references = _targets(rows, schema)
    if schema.problem_type == "regression":
        return np.array([one["score"] for one in decoded], np.float64), np.array(references, np.float64)
    if schema.problem_type == "multi_label_classification":
        chosen = [[label in one["labels"] for label in schema.labels] for one in decoded]
        return np.array(chosen, np.int64), np.array(references, np.int64).reshape(len(rows), -1)
    index = {label: i for i, label in enumerate(schema.labels)}
    return np.array([index[one["label"]] for one in decoded], np.int64), np.array(references, np.int64)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the metrics of the problem type; accuracy of several labels is that of the whole set."""
    if settings.problem_type == "regression":
        return {
            "pearson": Metric(regression.pearson, hub_name="pearsonr"),
            "spearman": Metric(regression.spearman, hub_name="spearmanr"),
            "mean_squared_error": Metric(
                regression.mean_squared_error, best=0.0, greater_is_better=False, hub_name="mse", short_names=("mse",)
            ),
            "mean_absolute_error": Metric(
                regression.mean_absolute_error, best=0.0, greater_is_better=False, hub_name="mae", short_names=("mae",)
            ),
        }
    is_multi_label = settings.problem_type == "multi_label_classification"
    averages = [average for average in classification.AVERAGES if not (is_multi_label and average == "binary")]
    averaged = {
        # with single labels, micro averages equal the accuracy
        f"{score}_{average}": Metric(
            classification.averaged(score, average),
            is_share=True,
            is_mean=average == "micro" and not is_multi_label,
            needs_two_labels=average == "binary",
            short_names=(score,) if average == "macro" else (),
            hub_name=score,
            hub_arguments={"average": average},
        )
        for score in ("f1", "precision", "recall")
        for average in averages
    }
    accuracy = Metric(classification.accuracy, is_mean=True, short_names=("acc",))
    if is_multi_label:
        return {"f1_micro": averaged.pop("f1_micro"), **averaged, "accuracy": accuracy}
    return {
        "accuracy": accuracy,
        **averaged,
        "matthews_correlation": Metric(classification.matthews_correlation, short_names=("mcc",)),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the per-class table and, for one label per text, the confusion matrix (rows: true, columns: predicted)."""
    if schema.problem_type == "regression":
        return {}
    n_labels = len(schema.labels)
    if predictions.ndim == 1:
        matrix = classification.confusion_matrix(predictions, references, n_labels)
        hits, predicted, true = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    else:
        hits, predicted, true = classification.label_counts(predictions, references)
    precision, recall, f1 = classification.precision_recall_f1(hits, predicted, true)
    table = [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(schema.labels, precision, recall, f1, true, strict=True)
    ]
    found: dict[str, Any] = {"per_class": table}
    if predictions.ndim == 1:
        found["confusion_matrix"] = matrix.tolist()
    return found


def majority_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict what is most frequent in training: the class, every label of more than half the rows, or the mean."""
    targets = baselines.majority(np.array(_targets(train, schema)), schema.problem_type)
    return _named(np.repeat(targets[None], len(rows), axis=0), schema)


def tfidf_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict by TF-IDF of words and word pairs; what is most frequent where there is one class, or no word."""
    known, asked = ([" ".join(input_texts(row, TASK)) for row in some] for some in (train, rows))
    found = baselines.tfidf(known, asked, np.array(_targets(train, schema)), schema.problem_type, seed)
    return majority_baseline(train, rows, schema, seed) if found is None else _named(found, schema)


def _named(targets: np.ndarray, schema: Schema) -> list[dict[str, Any]]:
    """Return targets as decoded predictions: the inverse of `to_arrays`."""
    if schema.problem_type == "regression":
        return [{"score": float(value)} for value in targets]
    if schema.problem_type == "single_label_classification":
        return [{"label": schema.labels[index]} for index in targets]
    return [{"labels": [label for label, on in zip(schema.labels, row, strict=True) if on]} for row in targets]


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
    return Classifier(probabilities, lambda schema: schema.temperature, explained)


def probabilities(predictions: Sequence[Mapping[str, Any]], schema: Schema) -> np.ndarray:
    """Return the probabilities of predictions, shape (n, labels)."""
    return np.array([[prediction["probabilities"][label] for label in schema.labels] for prediction in predictions])


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
    binary = tuple(name for name, metric in metrics(first.settings).items() if metric.needs_two_labels)
    return Comparability(
        None, binary, "The runs have different label orders, so scores of the positive class are not compared."
    )


def wrong_examples(records: Sequence[Mapping[str, Any]], schema: Schema) -> WrongExamples:
    """Return the wrong labels or sets of labels with the highest confidence, or the largest errors of numbers."""
    if schema.problem_type == "regression":
        return largest_errors(records)
    if schema.problem_type == "multi_label_classification":
        return wrong_label_sets(records, schema.threshold)
    return wrong_labels(records)


def prediction_text(schema: Schema) -> str:
    """Return a sentence for the model card."""
    return {
        "single_label_classification": "A prediction has the label, its probability (score) and all probabilities.",
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
        remark = f"take the labels that score at least {schema.threshold:g}"
    elif schema.problem_type == "regression":
        arguments.append('function_to_apply="none"')
    code = (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model="{request.model}")\n'
        f"classify({', '.join(arguments)})"
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
    """Return twelve rows that suit the problem type and, where the recipe names labels, have those."""
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


TASK = Task(
    name="text_classification",
    settings=Settings,
    columns={
        "text": Column("the text", example="A text."),
        "text_pair": Column("a second text, for tasks on pairs", required=False, example="Its partner."),
        "label": Column("the label, a list of labels (in text files separated by '|'), or a number", is_answer=True),
    },
    read_rows=read_rows,
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
    predict=predict,
    decode=decode,
    reference_answer=reference_answer,
    answer=answer,
    confidence=confidence,
    not_in_csv=("probabilities",),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={
        "majority": Baseline(majority_baseline),
        "tfidf": Baseline(tfidf_baseline, package=Package("sklearn", "scikit-learn")),
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
    stratify_by=lambda settings: "label" if settings.problem_type == "single_label_classification" else None,
    labels=label_names,
    pipeline=pipeline,
    prediction_text=prediction_text,
    reads_windows=lambda schema: schema.long_texts == "windows",
)
