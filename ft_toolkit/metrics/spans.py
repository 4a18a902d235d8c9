"""Labelled spans: reading and writing their tags, and scores that count a span when its borders and its label are right.

Definitions are those of conlleval and seqeval (tests hold the parity): an average over types takes the types that occur in
the predictions or the references, and 0/0 counts as 0.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ft_toolkit.metrics.classification import precision_recall_f1

Array = np.ndarray
# (start, end, label): the end is the first place after the span.
Span = tuple[int, int, str]
TAG = re.compile("O|[BIESLU]-.+")


def read_tags(tags: Sequence[str], scheme: str = "IOB2") -> tuple[list[Span], int]:
    """Return the spans of one sequence of tags, in places of the sequence, and how many tags are illegal in `scheme`.

    Schemes are IOB1, IOB2, BIOES and BILOU. What is illegal is read as conlleval reads it: a span ends where its type does,
    and begins at a tag that cannot go on from the one before, I-X after O for instance.
    """
    spans: list[Span] = []
    illegal = 0
    must_close = scheme in ("BIOES", "BILOU")
    start, kind = 0, ""  # the open span, none where kind is empty
    for i, tag in enumerate([*tags, "O"]):
        prefix, name = tag[0], tag[2:]
        goes_on = kind == name != ""
        bad = prefix in "IEL" and not goes_on and scheme != "IOB1"
        if kind and (prefix in "BSU" or not goes_on):
            spans.append((start, i, kind))
            kind = ""
            bad = bad or must_close
        if scheme == "IOB1" and prefix == "B":  # it only parts a span from one of the same type before it
            bad = not (spans and spans[-1][1:] == (i, name))
        illegal += bad
        if tag == "O":
            continue
        if not kind:
            start, kind = i, name
        if prefix in "ESLU":
            spans.append((start, i + 1, kind))
            kind = ""
    return spans, illegal


def find_scheme(sequences: Sequence[Sequence[str]]) -> str:
    """Return the scheme of all sequences together: BIOES or BILOU by their letters, else IOB1 or IOB2, whichever fits."""
    letters = {tag[0] for tags in sequences for tag in tags}
    if letters & set("LU"):
        return "BILOU"
    if letters & set("ES"):
        return "BIOES"
    return min(("IOB2", "IOB1"), key=lambda scheme: sum(read_tags(tags, scheme)[1] for tags in sequences))


def write_tags(spans: Iterable[Span], length: int) -> list[str]:
    """Return spans, in places of a sequence of `length`, as IOB2 tags."""
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def count_spans(predicted: Iterable[Span], true: Iterable[Span], labels: Sequence[str]) -> list[int]:
    """Return the counts of one example: matched, predicted and true spans per label, then spans with the right borders.

    Length 3 * labels + 1: all that the scores below need. They add up over examples.
    """
    ours, theirs = set(predicted), set(true)
    per_label = [[sum(span[2] == label for span in some) for label in labels] for some in (ours & theirs, ours, theirs)]
    return [*per_label[0], *per_label[1], *per_label[2], len({s[:2] for s in ours} & {s[:2] for s in theirs})]


def label_counts(predictions: Array) -> tuple[Array, Array, Array]:
    """Return matched, predicted and true spans per label over all examples, each of shape (labels,)."""
    matched, predicted, true = predictions.sum(0)[:-1].reshape(3, -1)
    return matched, predicted, true


def micro(score: str) -> Callable[[Array, Array], float]:
    """Return the metric `score` (precision, recall, f1) over the spans of all labels together.

    It takes the rows of `count_spans`, shape (examples, 3 * labels + 1); references are not looked at.
    """
    which = ("precision", "recall", "f1").index(score)

    def metric(predictions: Array, references: Array) -> float:
        matched, predicted, true = (counts.sum() for counts in label_counts(predictions))
        return float(precision_recall_f1(matched, predicted, true)[which])

    return metric


def f1_macro(predictions: Array, references: Array) -> float:
    """Return the mean F1 of the labels that occur; 0 where none does."""
    matched, predicted, true = label_counts(predictions)
    occurs = (predicted + true) > 0
    return float(precision_recall_f1(matched, predicted, true)[2][occurs].mean()) if occurs.any() else 0.0


def f1_boundary(predictions: Array, references: Array) -> float:
    """Return the F1 of the borders alone, whatever the label."""
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
