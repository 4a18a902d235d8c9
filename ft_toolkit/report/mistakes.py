"""The worst predictions of a split: confident and wrong labels, wrong sets of labels, far-off numbers."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = 20
# Longer texts are shown up to here; predictions.jsonl has them whole.
_SHOWN_CHARACTERS = 600
_NOT_INPUT = ("split", "id", "gold", "label", "labels", "score", "probabilities")


@dataclass(frozen=True)
class Mistake:
    """One wrong prediction. `texts` are the row's inputs by column; `weight` orders mistakes, worst first."""

    example_id: str
    texts: tuple[tuple[str, str], ...]
    gold: str
    predicted: str
    weight: float
    remark: str


@dataclass(frozen=True)
class Mistakes:
    """The worst mistakes of a split, how many rows were wrong in all (None for numbers), and what orders them."""

    worst: list[Mistake]
    wrong: int | None
    heading: str


def find_mistakes(predictions: Sequence[dict[str, Any]], threshold: float) -> Mistakes | None:
    """Return up to LIMIT mistakes of one split's predictions, worst first; None where there is no gold to compare with."""
    with_gold = [row for row in predictions if "gold" in row]
    if not with_gold:
        return None
    if "labels" in with_gold[0]:
        found = [_wrong_set(row, threshold) for row in with_gold]
        heading = "Most confident mistakes"
    elif "label" in with_gold[0]:
        found = [_wrong_label(row) for row in with_gold]
        heading = "Most confident mistakes"
    elif isinstance(with_gold[0].get("score"), (int, float)):
        found = [_error(row) for row in with_gold]
        heading = "Largest errors"
    else:
        return None
    wrong = [mistake for mistake in found if mistake is not None]
    worst = heapq.nlargest(LIMIT, wrong, key=lambda mistake: mistake.weight)
    return Mistakes(worst, None if heading == "Largest errors" else len(wrong), heading)


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
    texts = tuple(
        (name, _shortened(value)) for name, value in row.items() if name not in _NOT_INPUT and isinstance(value, str)
    )
    return Mistake(str(row.get("id", "")), texts, gold, predicted, float(weight), remark)


def _shortened(text: str) -> str:
    left = len(text) - _SHOWN_CHARACTERS
    return text if left <= 0 else f"{text[:_SHOWN_CHARACTERS]}… ({left:,} more characters)"
