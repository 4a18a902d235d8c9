"""Wrong entities and wrong answers, marked in the text they were looked for in."""

import heapq
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ft_toolkit.metrics import squad
from ft_toolkit.report.mistakes.marks import LIMIT, Mark, Mistake, Mistakes, Piece, mark_text, plain_texts, shorten

_KINDS_OF_ENTITY_ERROR = {
    "missed": "a true entity without a prediction of its own",
    "spurious": "a prediction without a true entity of its own",
    "wrong type": "the right words under another label",
    "wrong boundary": "the right label on more, fewer or shifted words",
    "wrong type and boundary": "another label on words that overlap a true entity",
}
_KINDS_OF_WRONG_ANSWER = {
    "other words": "shares no word with a right answer",
    "partly right": "shares words with a right answer",
    "answered without need": "the text holds no answer",
    "not answered": "the text holds an answer",
}
_MAX_GOLD = 3

Entity = dict[str, Any]


def wrong_entities(rows: Sequence[dict[str, Any]]) -> Mistakes:
    """Return the texts with the most wrong entities (then the surest), and how often each kind of error occurs."""
    totals: Counter[str] = Counter()
    found = []
    for row in rows:
        errors = entity_errors(row["gold"], row["entities"])
        totals.update(kind for kind, _, _ in errors)
        if errors:
            found.append(_entity_mistake(row, errors))
    worst = heapq.nlargest(LIMIT, found, key=lambda mistake: mistake.weight)
    said = f"{len(found):,} of {len(rows):,} texts have a wrong entity"
    said += f"; here are the {len(worst):,} with the most, the surest first." if len(worst) < len(found) else "."
    kinds = tuple((kind, totals[kind], meaning) for kind, meaning in _KINDS_OF_ENTITY_ERROR.items())
    return Mistakes("Wrong entities", said, worst, len(found), kinds if found else ())


def entity_errors(
    gold: Sequence[Entity], predicted: Sequence[Entity]
) -> list[tuple[str, Entity | None, Entity | None]]:
    """Return (kind, true entity, predicted entity) for everything that differs; each entity is in at most one error.

    Equal spans pair up first, then those with the same label that overlap most, then any that overlap.
    """
    right = {_key(one) for one in gold} & {_key(one) for one in predicted}
    true_left = [one for one in gold if _key(one) not in right]
    left = [one for one in predicted if _key(one) not in right]
    pairs = sorted(
        ((_nearness(g, p), i, j) for i, g in enumerate(true_left) for j, p in enumerate(left) if _overlap(g, p) > 0),
        key=lambda pair: (*(-part for part in pair[0]), pair[1:]),
    )
    errors: list[tuple[str, Entity | None, Entity | None]] = []
    used_true: set[int] = set()
    used: set[int] = set()
    for _, i, j in pairs:
        if i not in used_true and j not in used:
            used_true.add(i)
            used.add(j)
            errors.append((_kind(true_left[i], left[j]), true_left[i], left[j]))
    errors += [("missed", one, None) for i, one in enumerate(true_left) if i not in used_true]
    errors += [("spurious", None, one) for j, one in enumerate(left) if j not in used]
    return errors


def _key(one: Entity) -> tuple[int, int, str]:
    return one["start"], one["end"], one["label"]


def _overlap(one: Entity, other: Entity) -> int:
    return int(min(one["end"], other["end"]) - max(one["start"], other["start"]))


def _nearness(gold: Entity, predicted: Entity) -> tuple[int, int, int]:
    same_span = _key(gold)[:2] == _key(predicted)[:2]
    return int(same_span), int(gold["label"] == predicted["label"]), _overlap(gold, predicted)


def _kind(gold: Entity, predicted: Entity) -> str:
    if gold["label"] == predicted["label"]:
        return "wrong boundary"
    return "wrong type" if _key(gold)[:2] == _key(predicted)[:2] else "wrong type and boundary"


def _entity_mistake(row: dict[str, Any], errors: list[tuple[str, Entity | None, Entity | None]]) -> Mistake:
    text = row.get("text", "")
    text = " ".join(text) if isinstance(text, list) else str(text)
    wrong = {id(one) for _, gold, predicted in errors for one in (gold, predicted) if one is not None}
    marks = [Mark(one["start"], one["end"], "gold", f"true {one['label']}") for one in row["gold"] if id(one) in wrong]
    for one in row["entities"]:
        score = f" {one['score']:.2f}" if one.get("score") is not None else ""
        note = f"predicted {one['label']}{score}" if id(one) in wrong else f"{one['label']}{score}, right"
        marks.append(Mark(one["start"], one["end"], "predicted" if id(one) in wrong else "gold predicted", note))
    counts = Counter(kind for kind, _, _ in errors)
    sureness = sum(float(one.get("score") or 0.0) for _, _, one in errors if one is not None)
    return Mistake(
        example_id=str(row.get("id", "")),
        texts=(("text", mark_text(text, marks)),),
        gold=None,
        predicted=None,
        weight=(float(len(errors)), sureness),
        remark=", ".join(f"{counts[kind]} {kind}" for kind in _KINDS_OF_ENTITY_ERROR if counts[kind]),
    )


def wrong_answers(rows: Sequence[dict[str, Any]]) -> Mistakes:
    """Return the answers that match no true one, by the model's score, and how often each kind of error occurs."""
    totals: Counter[str] = Counter()
    found = []
    for row in rows:
        if (kind := answer_error(row["gold"] or [], row["answer"] or "", str(row.get("context", "")))) is not None:
            totals[kind] += 1
            found.append(_answer_mistake(row, kind))
    worst = heapq.nlargest(LIMIT, found, key=lambda mistake: mistake.weight)
    said = f"{len(found):,} of {len(rows):,} answers match no true one, case, punctuation and articles aside"
    said += f"; here are the {len(worst):,} that the model was surest of." if len(worst) < len(found) else "."
    kinds = tuple((kind, totals[kind], meaning) for kind, meaning in _KINDS_OF_WRONG_ANSWER.items())
    return Mistakes("Most confident wrong answers", said, worst, len(found), kinds if found else ())


def answer_error(gold: Sequence[str], answer: str, context: str = "") -> str | None:
    """Return the kind of error of an answer, None for a right one. No gold answers means that there is none to be found."""
    by_character = squad.is_unspaced(context)
    exact, f1 = squad.answer_scores(answer, gold, by_character=by_character)
    if exact:
        return None
    if not squad.words(answer, by_character=by_character):
        return "not answered"
    if not any(squad.words(one, by_character=by_character) for one in gold):
        return "answered without need"
    return "partly right" if f1 else "other words"


def _answer_mistake(row: dict[str, Any], kind: str) -> Mistake:
    texts = plain_texts(row, ("answer", "context", "score", "n_best"))
    context, place = str(row.get("context", "")), _place(row)
    marks = [Mark(*place, "predicted", "predicted")] if place else []
    near = place[0] if place else 0
    golds = list(dict.fromkeys(row["gold"] or []))
    # A true answer may occur more than once; the place nearest to the prediction makes the stretch shown the shortest.
    places = [(abs(at.start() - near), at.start(), at.end()) for one in golds if one for at in _finds(one, context)]
    if places:
        _, left, right = min(places)
        marks.append(Mark(left, right, "gold", "true"))
    pieces: tuple[Piece, ...] = mark_text(context, marks)
    score: Any = row.get("score")
    known = isinstance(score, (int, float))
    shown = [shorten(one, 120) for one in golds[:_MAX_GOLD]]
    more = f" (and {len(golds) - _MAX_GOLD} more)" if len(golds) > _MAX_GOLD else ""
    return Mistake(
        example_id=str(row.get("id", "")),
        texts=(*texts, ("context", pieces)),
        gold=" / ".join(shown) + more if golds else "no answer",
        predicted=shorten(row["answer"], 240) if row["answer"] else "no answer",
        weight=(float(score) if known else 0.0,),
        remark=kind + (f", score {score:.3f}" if known else ""),
    )


def _place(row: dict[str, Any]) -> tuple[int, int] | None:
    """Return where in the context the answer stands, None without one."""
    start, end = row.get("start"), row.get("end")
    return (start, end) if row["answer"] and isinstance(start, int) and isinstance(end, int) else None


def _finds(wanted: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(re.escape(wanted), text))
