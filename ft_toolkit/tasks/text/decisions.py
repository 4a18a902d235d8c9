"""From probabilities to labels: thresholds of the recipe, or thresholds that were tuned on the validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.metrics.thresholds import MULTI_LABEL, TWO_CLASSES, Tuning
from ft_toolkit.tasks.text.labels import ProblemType

TunedMetric = Literal["accuracy", "f1_binary", "f1_macro", "f1_micro", "matthews_correlation", "recall_macro"]
DEFAULT = 0.5
# A sentence names this number of thresholds; inference.json has all.
_MOST_NAMED = 12


class Decisions(Protocol):
    """The fields of a schema that decide on labels: tuned `thresholds` are one per label, or one for the last of two labels."""

    @property
    def problem_type(self) -> ProblemType: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def threshold(self) -> float: ...

    @property
    def thresholds(self) -> tuple[float, ...] | None: ...

    @property
    def tuning(self) -> Tuning | None: ...


def check_tuning(
    metric: TunedMetric | None, threshold: float, problem_type: ProblemType, labels: Sequence[str]
) -> None:
    """Raise DataError if thresholds cannot be tuned for the metric with these labels."""
    if metric is None:
        return
    if problem_type == "single_label_classification" and len(labels) != 2:
        raise DataError(
            f"task.tune_thresholds={metric}: with one label per row, a threshold requires two labels; found {len(labels)}. "
            "Remove it"
        )
    is_multi_label = problem_type == "multi_label_classification"
    allowed = MULTI_LABEL if is_multi_label else TWO_CLASSES
    if metric not in allowed or problem_type == "regression":
        raise DataError(
            f"task.tune_thresholds={metric} is not supported with task.problem_type={problem_type}; "
            + ("remove it" if problem_type == "regression" else f"allowed: {one_of(allowed)}")
        )
    if threshold != DEFAULT:
        raise DataError(
            f"task.threshold={threshold:g} and task.tune_thresholds={metric} exclude each other; remove one"
        )


def label_thresholds(schema: Decisions) -> dict[str, float]:
    """Return the threshold of each label of a multi-label model."""
    values = schema.thresholds or (schema.threshold,) * len(schema.labels)
    return dict(zip(schema.labels, values, strict=True))


def label_sets(probabilities: np.ndarray, schema: Decisions) -> list[list[str]]:
    """Return the predicted labels of each row from probabilities of shape (n, labels)."""
    chosen = probabilities >= np.array(list(label_thresholds(schema).values()))
    return [[label for label, is_set in zip(schema.labels, row, strict=True) if is_set] for row in chosen.tolist()]


def label_indices(logits: np.ndarray, probabilities: np.ndarray, schema: Decisions) -> np.ndarray:
    """Return the index of the predicted label of each row, shape (n,): the largest logit, or by the tuned threshold."""
    if schema.thresholds is None:
        return np.asarray(logits.argmax(axis=1))
    return (probabilities[:, 1] >= schema.thresholds[0]).astype(np.int64)


def tuning_text(schema: Decisions) -> str:
    """Return sentences on the tuned thresholds and on the optimism of their score; empty without tuning."""
    tuning = schema.tuning
    if tuning is None or schema.thresholds is None:
        return ""
    metric, rows = tuning.metric.replace("_", " "), f"{tuning.rows:,} validation rows"
    if set(schema.thresholds) == {DEFAULT}:
        return (
            f"All thresholds stay 0.5: in cross-validation on the {rows}, tuned thresholds were not better for {metric} "
            f"({tuning.default:.3f} at 0.5)."
        )
    bias = tuning.fitted - tuning.cross_validated
    return (
        f"Thresholds were chosen on the {rows} for {metric}: {_named(schema)}. On these rows, {metric} is {tuning.fitted:.3f} "
        f"instead of {tuning.default:.3f} at 0.5, and {tuning.cross_validated:.3f} in cross-validation"
        + (f", so the validation score is optimistic by about {bias:.3f}." if bias > 0 else ".")
    )


def pipeline_remark(schema: Decisions) -> str:
    """Return how the labels of a transformers pipeline differ from ours; empty for the same labels."""
    if schema.problem_type == "multi_label_classification":
        if schema.thresholds is None:
            return f"take the labels that score at least {schema.threshold:g}"
        return f"take the labels that score at least their threshold: {_named(schema)}"
    if schema.thresholds is None or schema.thresholds == (DEFAULT,):
        return ""
    return f"this model predicts {_named(schema)}; the pipeline predicts it from 0.5"


def _named(schema: Decisions) -> str:
    """Return the thresholds with their labels."""
    assert schema.thresholds is not None, "thresholds were tuned"
    if schema.problem_type == "single_label_classification":
        return f"{schema.labels[1]} from a probability of {schema.thresholds[0]:.3g}"
    pairs = [f"{label} {value:.3g}" for label, value in label_thresholds(schema).items()]
    more = (
        f" and {len(pairs) - _MOST_NAMED} more (schema.thresholds in inference.json)"
        if len(pairs) > _MOST_NAMED
        else ""
    )
    return ", ".join(pairs[:_MOST_NAMED]) + more


def load_tuning(values: Mapping[str, Any]) -> tuple[tuple[float, ...] | None, Tuning | None]:
    """Return the thresholds and their tuning from the JSON form of a schema; None where it has none."""
    chosen, tuning = values.get("thresholds"), values.get("tuning")
    return None if chosen is None else tuple(chosen), None if tuning is None else Tuning(**tuning)
