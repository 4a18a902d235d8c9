"""Answers to questions, and counts of the kinds of error: passages marked in their contexts, and written answers."""

import heapq
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.metrics import squad
from ft_toolkit.tasks.display.wrong_examples import (
    GENERATED_LIMIT,
    LIMIT,
    Mark,
    WrongExample,
    WrongExamples,
    draw,
    mark_text,
    plain_texts,
    shorten,
)

_KINDS = {
    "other words": "shares no word with a reference answer",
    "partly right": "shares words with a reference answer",
    "unnecessary answer": "the question has no answer",
    "not answered": "the question has an answer",
}
_MAX_REFERENCES = 3
NO_ANSWER = "no answer"
_IGNORED = " (case, punctuation and articles are ignored)"


def wrong_answers(records: Sequence[Mapping[str, Any]]) -> WrongExamples:
    """Return the answers that match no reference answer, ordered by score, and the count of each kind of error."""
    totals: Counter[str] = Counter()
    examples = []
    for record in records:
        kind = answer_error(record["gold"] or [], record["answer"] or "", str(record.get("context", "")))
        if kind is not None:
            totals[kind] += 1
            examples.append(_example(record, kind))
    shown = heapq.nlargest(LIMIT, examples, key=lambda example: example.weight)
    summary = f"{len(examples):,} of {len(records):,} answers match no reference answer"
    summary += _IGNORED
    summary += f"; shown are the {len(shown):,} most confident." if len(shown) < len(examples) else "."
    return WrongExamples("Most confident wrong answers", summary, shown, len(examples), _counted(totals))


def _counted(totals: Counter[str]) -> tuple[tuple[str, int, str], ...]:
    """Return (kind, count, explanation) of each kind of error; nothing without errors."""
    return tuple((kind, totals[kind], meaning) for kind, meaning in _KINDS.items()) if totals else ()


def random_answers(records: Sequence[Mapping[str, Any]], seed: int) -> WrongExamples:
    """Return written answers beside their references, drawn at random with a seed, and the count of each kind of error."""

    def error(record: Mapping[str, Any]) -> str | None:
        text = str(record.get("context") or record.get("question", ""))
        return answer_error(record["gold"], record["answer"], text)

    totals: Counter[str] = Counter(kind for kind in map(error, records) if kind is not None)
    examples = [
        WrongExample(
            example_id=str(record.get("id", "")),
            texts=plain_texts(record, ("answer",)),
            reference=_references(record["gold"]),
            predicted=shorten(record["answer"], 240) or NO_ANSWER,
            weight=(),
            remark=error(record) or "right",
        )
        for record in draw(records, GENERATED_LIMIT, seed)
    ]
    summary = (
        f"{len(examples):,} of {len(records):,} answers, drawn at random with the seed {seed}; not selected by quality. "
        f"{totals.total():,} of {len(records):,} answers match no reference answer{_IGNORED}."
    )
    return WrongExamples("Answers", summary, examples, totals.total(), _counted(totals), side_by_side=True)


def _references(gold: Sequence[str]) -> str:
    """Return the first reference answers for a page."""
    references = list(dict.fromkeys(gold))
    shown = [shorten(reference, 120) for reference in references[:_MAX_REFERENCES]]
    more = f" (and {len(references) - _MAX_REFERENCES} more)" if len(references) > _MAX_REFERENCES else ""
    return " / ".join(shown) + more if references else NO_ANSWER


def answer_error(references: Sequence[str], answer: str, context: str = "") -> str | None:
    """Return the kind of error of an answer, None for a right one. No reference answers: the question has no answer."""
    by_character = squad.is_unspaced(context)
    exact, f1 = squad.answer_scores(answer, references, by_character=by_character)
    if exact:
        return None
    if not squad.words(answer, by_character=by_character):
        return "not answered"
    if not any(squad.words(reference, by_character=by_character) for reference in references):
        return "unnecessary answer"
    return "partly right" if f1 else "other words"


def _example(record: Mapping[str, Any], kind: str) -> WrongExample:
    context, span = str(record.get("context", "")), _span(record)
    marks = [Mark(*span, "predicted", "predicted")] if span else []
    position = span[0] if span else 0
    references = list(dict.fromkeys(record["gold"] or []))
    # A reference answer may occur several times; the occurrence nearest to the prediction keeps the excerpt short.
    occurrences = [
        (abs(match.start() - position), match.start(), match.end())
        for reference in references
        if reference
        for match in re.finditer(re.escape(reference), context)
    ]
    if occurrences:
        _, start, end = min(occurrences)
        marks.append(Mark(start, end, "reference", "true"))
    score = float(record["score"]) if isinstance(record.get("score"), (int, float)) else None
    texts = plain_texts(record, ("answer", "context", "score", "n_best"))
    return WrongExample(
        example_id=str(record.get("id", "")),
        texts=(*texts, ("context", mark_text(context, marks))),
        reference=_references(references),
        predicted=shorten(record["answer"], 240) if record["answer"] else NO_ANSWER,
        weight=(score or 0.0,),
        remark=kind + (f", score {score:.3f}" if score is not None else ""),
    )


def _span(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return start and end of the predicted answer in the context, None without an answer."""
    start, end = record.get("start"), record.get("end")
    return (start, end) if record["answer"] and isinstance(start, int) and isinstance(end, int) else None
