"""Wrong labels, wrong sets of labels and far-off numbers; the ones the model was surest of come first."""

import heapq
from collections.abc import Sequence
from typing import Any

from ft_toolkit.report.mistakes.marks import LIMIT, Mistake, Mistakes, plain_texts

_PREDICTED = ("label", "labels", "score", "probabilities")


def wrong_labels(rows: Sequence[dict[str, Any]]) -> Mistakes:
    """Return the rows whose label is not the true one, by the score of the wrong label."""
    return _surest([_wrong_label(row) for row in rows], len(rows))


def wrong_sets(rows: Sequence[dict[str, Any]], threshold: float) -> Mistakes:
    """Return the rows whose set of labels is not the true one, by how far the worst label is from the threshold."""
    return _surest([_wrong_set(row, threshold) for row in rows], len(rows))


def errors_of_numbers(rows: Sequence[dict[str, Any]]) -> Mistakes:
    """Return the rows whose number is furthest off."""
    found = [_error(row) for row in rows if isinstance(row.get("score"), (int, float))]
    return Mistakes("Largest errors", "", _largest(found))


def _surest(found: Sequence[Mistake | None], n: int) -> Mistakes:
    worst, wrong = _largest(found), sum(mistake is not None for mistake in found)
    rest = f"; here are the {len(worst):,} that the model was surest of" if len(worst) < wrong else ""
    return Mistakes("Most confident mistakes", f"{wrong:,} of {n:,} examples are wrong{rest}.", worst, wrong)


def _largest(found: Sequence[Mistake | None]) -> list[Mistake]:
    return heapq.nlargest(LIMIT, (mistake for mistake in found if mistake is not None), key=lambda m: m.weight)


def _wrong_label(row: dict[str, Any]) -> Mistake | None:
    gold = row["gold"]
    if row["label"] == gold:
        return None
    remark = f"gave it {row['score']:.3f}"
    if gold in row.get("probabilities", {}):
        remark += f", the true label {row['probabilities'][gold]:.3f}"
    return _mistake(row, gold, row["label"], row["score"], remark)


def _wrong_set(row: dict[str, Any], threshold: float) -> Mistake | None:
    gold, predicted = row["gold"], row["labels"]
    wrong = set(gold) ^ set(predicted)
    if not wrong:
        return None
    probabilities = row.get("probabilities", {})
    # How sure the model was of its worst label: the distance from the threshold, as a share of the way to 0 or 1.
    sureness = {
        label: (p - threshold) / (1 - threshold) if label in predicted else (threshold - p) / threshold
        for label in sorted(wrong)
        if (p := probabilities.get(label)) is not None
    }
    parts = [
        ("missed", [n for n in gold if n not in predicted]),
        ("wrongly added", [n for n in predicted if n not in gold]),
    ]
    said = [
        f"{what} " + ", ".join(f"{n} ({probabilities[n]:.3f})" if n in probabilities else n for n in names)
        for what, names in parts
        if names
    ]
    return _mistake(row, _set(gold), _set(predicted), max(sureness.values(), default=0.0), "; ".join(said))


def _error(row: dict[str, Any]) -> Mistake | None:
    gold, predicted = float(row["gold"]), float(row["score"])
    error = abs(predicted - gold)
    return _mistake(row, f"{gold:g}", f"{predicted:.4g}", error, f"off by {error:.4g}") if error else None


def _set(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _mistake(row: dict[str, Any], gold: str, predicted: str, weight: float, remark: str) -> Mistake:
    return Mistake(str(row.get("id", "")), plain_texts(row, _PREDICTED), gold, predicted, (float(weight),), remark)
