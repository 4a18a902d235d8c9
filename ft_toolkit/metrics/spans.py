"""Labelled spans: reading and writing tags, and scores. A span is correct when its boundaries and its label are correct.

Definitions are those of conlleval and seqeval (tests compare them): an average over labels includes the labels that occur in
the predictions or the references, and 0/0 counts as 0.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ft_toolkit.metrics.classification import precision_recall_f1

Array = np.ndarray
# (start, end, label); the end is exclusive.
Span = tuple[int, int, str]
TAG = re.compile("O|[BIESLU]-.+")


def read_tags(tags: Sequence[str], scheme: str = "IOB2") -> tuple[list[Span], int]:
    """Return the spans of a sequence of tags, in positions of the sequence, and the number of tags that are illegal in
    `scheme`.

    Schemes are IOB1, IOB2, BIOES and BILOU. Illegal tags are read as in conlleval: a span ends where its label ends, and
    starts at a tag that cannot continue the previous one, such as I-X after O.
    """
    spans: list[Span] = []
    n_illegal = 0
    must_close = scheme in ("BIOES", "BILOU")
    start, kind = 0, ""  # the open span; an empty kind means no open span
    for i, tag in enumerate([*tags, "O"]):
        prefix, name = tag[0], tag[2:]
        continues = kind == name != ""
        is_illegal = prefix in "IEL" and not continues and scheme != "IOB1"
        if kind and (prefix in "BSU" or not continues):
            spans.append((start, i, kind))
            kind = ""
            is_illegal = is_illegal or must_close
        if scheme == "IOB1" and prefix == "B":  # B only separates a span from a previous span with the same label
            is_illegal = not (spans and spans[-1][1:] == (i, name))
        n_illegal += is_illegal
        if tag == "O":
            continue
        if not kind:
            start, kind = i, name
        if prefix in "ESLU":
            spans.append((start, i + 1, kind))
            kind = ""
    return spans, n_illegal


def find_scheme(sequences: Sequence[Sequence[str]]) -> str:
    """Return the scheme of all sequences: BIOES or BILOU by their prefixes, else IOB1 or IOB2 by the number of illegal tags."""
    prefixes = {tag[0] for tags in sequences for tag in tags}
    if prefixes & set("LU"):
        return "BILOU"
    if prefixes & set("ES"):
        return "BIOES"
    return min(("IOB2", "IOB1"), key=lambda scheme: sum(read_tags(tags, scheme)[1] for tags in sequences))


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
