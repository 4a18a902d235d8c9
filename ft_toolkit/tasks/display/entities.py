"""Wrong entities, marked in their texts, with counts of the kinds of error."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.tasks.display.wrong_examples import LIMIT, Mark, WrongExample, WrongExamples, mark_text

_KINDS = {
    "missed": "a true entity without a matching prediction",
    "spurious": "a prediction without a matching true entity",
    "wrong type": "the right words with another label",
    "wrong boundary": "the right label on more, fewer or shifted words",
    "wrong type and boundary": "another label on words that overlap a true entity",
}

Entity = Mapping[str, Any]
# Kind, true entity, predicted entity.
EntityError = tuple[str, Entity | None, Entity | None]


def wrong_entities(records: Sequence[Mapping[str, Any]]) -> WrongExamples:
    """Return the texts with the most wrong entities, ties broken by confidence, and the count of each kind of error."""
    totals: Counter[str] = Counter()
    examples = []
    for record in records:
        errors = entity_errors(record["gold"], record["entities"])
        totals.update(kind for kind, _, _ in errors)
        if errors:
            examples.append(_example(record, errors))
    shown = heapq.nlargest(LIMIT, examples, key=lambda example: example.weight)
    summary = f"{len(examples):,} of {len(records):,} texts have a wrong entity"
    summary += f"; shown are the {len(shown):,} with the most." if len(shown) < len(examples) else "."
    kinds = tuple((kind, totals[kind], meaning) for kind, meaning in _KINDS.items())
    return WrongExamples("Wrong entities", summary, shown, len(examples), kinds if examples else ())


def entity_errors(true: Sequence[Entity], predicted: Sequence[Entity]) -> list[EntityError]:
    """Return (kind, true entity, predicted entity) for every difference. Each entity is in at most one error.

    Equal spans are paired first, then entities with the same label by their overlap, then all others by their overlap.
    """
    right = {_key(entity) for entity in true} & {_key(entity) for entity in predicted}
    wrong_true = [entity for entity in true if _key(entity) not in right]
    wrong_predicted = [entity for entity in predicted if _key(entity) not in right]
    pairs = sorted(
        (
            (_nearness(t, p), i, j)
            for i, t in enumerate(wrong_true)
            for j, p in enumerate(wrong_predicted)
            if _overlap(t, p) > 0
        ),
        key=lambda pair: (*(-part for part in pair[0]), pair[1:]),
    )
    errors: list[EntityError] = []
    paired_true: set[int] = set()
    paired_predicted: set[int] = set()
    for _, i, j in pairs:
        if i not in paired_true and j not in paired_predicted:
            paired_true.add(i)
            paired_predicted.add(j)
            errors.append((_kind(wrong_true[i], wrong_predicted[j]), wrong_true[i], wrong_predicted[j]))
    errors += [("missed", entity, None) for i, entity in enumerate(wrong_true) if i not in paired_true]
    errors += [("spurious", None, entity) for j, entity in enumerate(wrong_predicted) if j not in paired_predicted]
    return errors


def _key(entity: Entity) -> tuple[int, int, str]:
    return entity["start"], entity["end"], entity["label"]


def _overlap(entity: Entity, other: Entity) -> int:
    return int(min(entity["end"], other["end"]) - max(entity["start"], other["start"]))


def _nearness(true: Entity, predicted: Entity) -> tuple[int, int, int]:
    same_span = _key(true)[:2] == _key(predicted)[:2]
    return int(same_span), int(true["label"] == predicted["label"]), _overlap(true, predicted)


def _kind(true: Entity, predicted: Entity) -> str:
    if true["label"] == predicted["label"]:
        return "wrong boundary"
    return "wrong type" if _key(true)[:2] == _key(predicted)[:2] else "wrong type and boundary"


def _example(record: Mapping[str, Any], errors: Sequence[EntityError]) -> WrongExample:
    wrong = {id(entity) for _, *pair in errors for entity in pair if entity is not None}
    marks = [Mark(e["start"], e["end"], "reference", f"true {e['label']}") for e in record["gold"] if id(e) in wrong]
    for entity in record["entities"]:
        score = f" {entity['score']:.2f}" if entity.get("score") is not None else ""
        if id(entity) in wrong:
            marks.append(Mark(entity["start"], entity["end"], "predicted", f"predicted {entity['label']}{score}"))
        else:
            note = f"{entity['label']}{score}, right"
            marks.append(Mark(entity["start"], entity["end"], "reference predicted", note))
    counts = Counter(kind for kind, _, _ in errors)
    confidence = sum(float(entity.get("score") or 0.0) for _, _, entity in errors if entity is not None)
    return WrongExample(
        example_id=str(record.get("id", "")),
        texts=(("text", mark_text(str(record.get("text", "")), marks)),),
        reference=None,
        predicted=None,
        weight=(float(len(errors)), confidence),
        remark=", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]),
    )
