"""Labelled spans: reading and writing tags, and scores. A span is correct when its boundaries and its label are correct.

Definitions are those of conlleval and seqeval (tests compare them): an average over labels includes the labels that occur in
the predictions or the references, and 0/0 counts as 0.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ft_toolkit.metrics.classification import precision_recall_f1

Array = np.ndarray
# (start, end, label); the end is exclusive.
Span = tuple[int, int, str]
TAG = re.compile("O|[BIESLU]-.+")


def read_tags(tags: Sequence[str]) -> tuple[list[Span], Counter[str]]:
    """Return the spans of a sequence of tags, in positions of the sequence, and counts for `find_scheme`.

    The spans are the same for every scheme. Illegal tags are read as in conlleval: a span ends where its label ends, and starts
    at a tag that cannot continue the previous one, such as I-X after O. The counts are the number of tags that are illegal in
    each scheme, by its name, and the number of tags with each of the prefixes E, S, L and U.
    """
    spans: list[Span] = []
    counts: Counter[str] = Counter()
    start, kind = 0, ""  # the open span; an empty kind means no open span
    for i, tag in enumerate([*tags, "O"]):
        prefix, name = tag[0], tag[2:]
        continues = kind == name != ""
        is_illegal = must_close = prefix in "IEL" and not continues
        if kind and (prefix in "BSU" or not continues):
            spans.append((start, i, kind))
            kind = ""
            must_close = True
        if prefix == "B" and not (spans and spans[-1][1:] == (i, name)):
            counts["IOB1"] += 1  # B only separates a span from a previous span with the same label
        if is_illegal:
            counts["IOB2"] += 1
        if must_close:
            counts.update(("BIOES", "BILOU"))
        if tag == "O":
            continue
        if prefix in "ESLU":
            counts[prefix] += 1
        if not kind:
            start, kind = i, name
        if prefix in "ESLU":
            spans.append((start, i + 1, kind))
            kind = ""
    return spans, counts


def find_scheme(counts: Mapping[str, int]) -> str:
    """Return the scheme of sequences: BIOES or BILOU by their prefixes, else IOB1 or IOB2 by the number of illegal tags.

    `counts` is the sum of the counts of `read_tags`.
    """
    if counts.get("L") or counts.get("U"):
        return "BILOU"
    if counts.get("E") or counts.get("S"):
        return "BIOES"
    return min(("IOB2", "IOB1"), key=lambda scheme: counts.get(scheme, 0))


def write_tags(spans: Iterable[Span], length: int) -> list[str]:
    """Return spans, given in positions of a sequence of `length`, as IOB2 tags."""
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def count_spans(predicted: Iterable[Span], true: Iterable[Span], labels: Sequence[str]) -> list[int]:
    """Return the counts of an example: matched, predicted and true spans per label, then spans with correct boundaries.

    The length is 3 * labels + 1. The scores below are functions of the sums over examples.
    """
    predicted, true = set(predicted), set(true)
    counts = [
        sum(span[2] == label for span in spans) for spans in (predicted & true, predicted, true) for label in labels
    ]
    return [*counts, len({span[:2] for span in predicted} & {span[:2] for span in true})]


def label_counts(predictions: Array) -> tuple[Array, Array, Array]:
    """Return matched, predicted and true spans per label over all examples, each of shape (labels,)."""
    matched, predicted, true = predictions.sum(0)[:-1].reshape(3, -1)
    return matched, predicted, true


def micro(score: str) -> Callable[[Array, Array], float]:
    """Return the metric `score` (precision, recall, f1) over the spans of all labels together.

    Predictions are the rows of `count_spans`, shape (examples, 3 * labels + 1); references are not used.
    """
    which = ("precision", "recall", "f1").index(score)

    def metric(predictions: Array, references: Array) -> float:
        matched, predicted, true = (counts.sum() for counts in label_counts(predictions))
        return float(precision_recall_f1(matched, predicted, true)[which])

    return metric


def f1_macro(predictions: Array, references: Array) -> float:
    """Return the mean F1 of the labels that occur; 0 if none occurs."""
    matched, predicted, true = label_counts(predictions)
    occurs = (predicted + true) > 0
    return float(precision_recall_f1(matched, predicted, true)[2][occurs].mean()) if occurs.any() else 0.0


def f1_boundary(predictions: Array, references: Array) -> float:
    """Return the F1 of the boundaries, ignoring labels."""
    _, predicted, true = label_counts(predictions)
    return float(precision_recall_f1(predictions[:, -1].sum(), predicted.sum(), true.sum())[2])


def per_class(predictions: Array, labels: Sequence[str]) -> list[dict[str, float | str | int]]:
    """Return a row per label: label, precision, recall, f1 and support."""
    matched, predicted, true = label_counts(predictions)
    precision, recall, f1 = precision_recall_f1(matched, predicted, true)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, precision, recall, f1, true, strict=True)
    ]
