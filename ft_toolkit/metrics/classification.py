"""Classification metrics on label indices (n,), or for multi-label classification on 0/1 matrices (n, labels).

Definitions and edge cases are those of scikit-learn (tests compare them): an average over classes includes the classes that
occur in the predictions or the references, and 0/0 counts as 0.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray
AVERAGES = ("macro", "micro", "weighted", "binary")


def confusion_matrix(predictions: Array, references: Array, n_labels: int) -> Array:
    """Return counts of shape (n_labels, n_labels); rows are references, columns predictions."""
    return np.bincount(references * n_labels + predictions, minlength=n_labels**2).reshape(n_labels, n_labels)


def accuracy(predictions: Array, references: Array) -> float:
    """Return the share of correct examples; for multi-label, the whole set of labels must be correct."""
    right = predictions == references
    return float(right.all(axis=1).mean() if right.ndim == 2 else right.mean())


def matthews_correlation(predictions: Array, references: Array) -> float:
    """Return the Matthews correlation for any number of classes (Gorodkin 2004); 0 when one side is constant."""
    matrix = confusion_matrix(predictions, references, int(max(predictions.max(), references.max())) + 1).astype(float)
    predicted, true, total = matrix.sum(0), matrix.sum(1), matrix.sum()
    spread = np.sqrt(float(total**2 - predicted @ predicted) * float(total**2 - true @ true))
    return float((np.trace(matrix) * total - predicted @ true) / spread) if spread else 0.0


def label_counts(predictions: Array, references: Array) -> tuple[Array, Array, Array]:
    """Return true positives, predicted and true counts per label, each of shape (labels,)."""
    if predictions.ndim == 2:
        return (predictions & references).sum(0), predictions.sum(0), references.sum(0)
    n_labels = int(max(predictions.max(), references.max())) + 1
    hits = np.bincount(references[predictions == references], minlength=n_labels)
    return hits, np.bincount(predictions, minlength=n_labels), np.bincount(references, minlength=n_labels)


def precision_recall_f1(hits: Array, predicted: Array, true: Array) -> tuple[Array, Array, Array]:
    """Return precision, recall and F1 elementwise; 0/0 is 0."""
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true)


def averaged(score: str, average: str) -> Callable[[Array, Array], float]:
    """Return the metric `score` (precision, recall, f1) under `average` (macro, micro, weighted, binary).

    binary scores only the label with index 1.
    """
    which = ("precision", "recall", "f1").index(score)

    def metric(predictions: Array, references: Array) -> float:
        hits, predicted, true = label_counts(predictions, references)
        if average == "micro":
            return float(precision_recall_f1(hits.sum(), predicted.sum(), true.sum())[which])
        scores = precision_recall_f1(hits, predicted, true)[which]
        if average == "binary":
            return float(scores[1]) if len(scores) > 1 else 0.0
        if average == "weighted":
            return float(_ratio(scores @ true, true.sum()))
        counted = np.ones(len(scores), bool) if predictions.ndim == 2 else (predicted + true) > 0
        return float(scores[counted].mean())

    return metric


def _ratio(numerator: Array, denominator: Array) -> Array:
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))
