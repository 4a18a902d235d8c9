"""Metrics and tables of classifiers and regressors, by problem type."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.metrics import classification, regression
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text.labels import ProblemType

# With more labels, predictions have the TOP most likely labels only, and the largest cells replace the confusion matrix: with
# 1,000 labels, results.json had 13 MB, and predictions.jsonl 80 MB for 3,000 rows.
MANY_LABELS, TOP = 100, 20
_CONFUSIONS = 1000


def label_metrics(problem_type: ProblemType) -> dict[str, Metric]:
    """Return the metrics by name; the accuracy of sets of labels is the share of sets that are entirely right."""
    if problem_type == "regression":
        return _regression_metrics()
    is_multi_label = problem_type == "multi_label_classification"
    averages = [average for average in classification.AVERAGES if not (is_multi_label and average == "binary")]
    averaged = {
        # with single labels, micro averages equal the accuracy
        f"{score}_{average}": Metric(
            classification.averaged(score, average),
            is_share=True,
            is_mean=average == "micro" and not is_multi_label,
            is_macro=average == "macro",
            needs_two_labels=average == "binary",
            is_detail=score != "f1",
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


def _regression_metrics() -> dict[str, Metric]:
    errors = {
        "mean_squared_error": (regression.mean_squared_error, "mse"),
        "mean_absolute_error": (regression.mean_absolute_error, "mae"),
    }
    return {
        "pearson": Metric(regression.pearson, is_pearson=True, hub_name="pearsonr"),
        "spearman": Metric(regression.spearman, hub_name="spearmanr"),
        **{
            name: Metric(fn, best=0.0, greater_is_better=False, hub_name=short, short_names=(short,))
            for name, (fn, short) in errors.items()
        },
    }


def label_tables(predictions: np.ndarray, references: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Return the scores per label and, for label indices of shape (n,), the confusion matrix (rows: true labels).

    For more than MANY_LABELS labels, the most frequent confusions replace the matrix.
    """
    tables: dict[str, Any] = {}
    if predictions.ndim == 1:
        matrix = classification.confusion_matrix(predictions, references, len(labels))
        if len(labels) <= MANY_LABELS:
            tables["confusion_matrix"] = matrix.tolist()
        else:
            tables["most_frequent_confusions"] = _confusions(matrix, labels)
        hits, predicted, true = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    else:
        hits, predicted, true = classification.label_counts(predictions, references)
    precision, recall, f1 = classification.precision_recall_f1(hits, predicted, true)
    per_class = [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, precision, recall, f1, true, strict=True)
    ]
    return {"per_class": per_class, **tables}


def _confusions(matrix: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pairs of a true and another predicted label with the most rows, at most _CONFUSIONS of them."""
    true, predicted = np.nonzero(matrix * (1 - np.eye(len(labels), dtype=matrix.dtype)))
    counts = matrix[true, predicted]
    order = np.lexsort((predicted, true, -counts))[:_CONFUSIONS]
    totals = matrix.sum(1)
    return [
        {
            "label": labels[true[i]],
            "predicted": labels[predicted[i]],
            "rows": int(counts[i]),
            "share": float(counts[i] / totals[true[i]]),
        }
        for i in order
    ]
