"""Wrong labels, wrong sets of labels and numbers with large errors. The most confident predictions come first."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.tasks.display.wrong_examples import LIMIT, WrongExample, WrongExamples, plain_texts

_PREDICTED = ("label", "labels", "score", "probabilities")
Record = Mapping[str, Any]


def wrong_labels(records: Sequence[Record]) -> WrongExamples:
    """Return the examples with a wrong label, ordered by the probability of that label."""
    return _most_confident([_wrong_label(record) for record in records], len(records))


def wrong_label_sets(records: Sequence[Record], thresholds: Mapping[str, float]) -> WrongExamples:
    """Return the examples with a wrong set of labels, ordered by the largest distance of a wrong label from its threshold."""
    return _most_confident([_wrong_label_set(record, thresholds) for record in records], len(records))


def largest_errors(records: Sequence[Record]) -> WrongExamples:
    """Return the examples whose predicted number has the largest absolute error."""
    examples = [_number_error(record) for record in records if isinstance(record.get("score"), (int, float))]
    return WrongExamples("Largest errors", "", _first(examples))


def _most_confident(examples: Sequence[WrongExample | None], n: int) -> WrongExamples:
    shown, n_wrong = _first(examples), sum(example is not None for example in examples)
    summary = f"{n_wrong:,} of {n:,} examples are wrong"
    summary += f"; shown are the {len(shown):,} most confident." if len(shown) < n_wrong else "."
    return WrongExamples("Most confident errors", summary, shown, n_wrong)


def _first(examples: Sequence[WrongExample | None]) -> list[WrongExample]:
    return heapq.nlargest(
        LIMIT, (example for example in examples if example is not None), key=lambda example: example.weight
    )


def _wrong_label(record: Record) -> WrongExample | None:
    true_label = record["gold"]
    if record["label"] == true_label:
        return None
    remark = f"probability {record['score']:.3f}"
    if true_label in record.get("probabilities", {}):
        remark += f", of the true label {record['probabilities'][true_label]:.3f}"
    return _example(record, true_label, record["label"], record["score"], remark)


def _wrong_label_set(record: Record, thresholds: Mapping[str, float]) -> WrongExample | None:
    true_labels, predicted = record["gold"], record["labels"]
    wrong = set(true_labels) ^ set(predicted)
    if not wrong:
        return None
    probabilities = record.get("probabilities", {})
    # The distance from the threshold as a share of the largest possible distance, towards 1 or towards 0.
    confidences = [
        (p - t) / (1 - t) if label in predicted else (t - p) / t
        for label in sorted(wrong)
        if (p := probabilities.get(label)) is not None and (t := thresholds[label])
    ]
    kinds = [
        ("missed", [label for label in true_labels if label not in predicted]),
        ("wrongly added", [label for label in predicted if label not in true_labels]),
    ]
    remarks = [
        f"{kind} " + ", ".join(f"{n} ({probabilities[n]:.3f})" if n in probabilities else n for n in labels)
        for kind, labels in kinds
        if labels
    ]
    confidence = max(confidences, default=0.0)
    return _example(record, _joined(true_labels), _joined(predicted), confidence, "; ".join(remarks))


def _number_error(record: Record) -> WrongExample | None:
    true_number, predicted = float(record["gold"]), float(record["score"])
    error = abs(predicted - true_number)
    return _example(record, f"{true_number:g}", f"{predicted:.4g}", error, f"off by {error:.4g}") if error else None


def _joined(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "none"


def _example(record: Record, reference: str, predicted: str, weight: float, remark: str) -> WrongExample:
    texts = plain_texts(record, _PREDICTED)
    return WrongExample(str(record.get("id", "")), texts, reference, predicted, (float(weight),), remark)
