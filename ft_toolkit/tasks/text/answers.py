"""True answers to questions on a text, in the forms that data sets use, brought to one form and held against the text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import DataError

FORMS = (
    'a text that stands in the context once, {"text": ..., "start" or "answer_start": ...}, a list of either, or '
    '{"text": [...], "answer_start": [...]}; an empty one means that there is no answer'
)


@dataclass(frozen=True)
class Answer:
    """An answer and the character of the context where it begins."""

    text: str
    start: int


@dataclass(frozen=True)
class Found:
    """The answers of a row; `repaired` says of each offset that was wrong what was done."""

    answers: tuple[Answer, ...]
    repaired: tuple[str, ...]


def find_answers(value: Any, context: str, where: str) -> Found:
    """Return the answers in `value`, each at its place in the context.

    An answer that does not stand where its offset says is looked for; one place is taken, several or none are refused, as
    is an answer without an offset. Answers of white space alone are none. Raises DataError, which begins with `where`.
    """
    answers: list[Answer] = []
    repaired: list[str] = []
    for text, start in _pairs(value, where):
        if not text.strip():
            continue
        if start is not None and start >= 0 and context.startswith(text, start):
            answers.append(Answer(text, start))
            continue
        places = _places(text, context)
        claim = "" if start is None else f", not at character {start} as the row says"
        if len(places) != 1:
            times = f"{len(places)} times" if places else "nowhere"
            raise DataError(
                f"{where}: the answer {_short(text)} stands {times} in the context{claim}; correct the row, or give the "
                "character where the answer begins as answer_start"
            )
        answers.append(Answer(text, places[0]))
        if start is not None:
            repaired.append(f"{where}: the answer {_short(text)} stands at character {places[0]}{claim}")
    return Found(tuple(answers), tuple(repaired))


def _pairs(value: Any, where: str) -> list[tuple[str, int | None]]:
    """Return (text, offset or None) of each answer."""
    if isinstance(value, str):
        value = _from_json(value)
    if value is None:
        return []
    if isinstance(value, str):
        return [(value, None)]
    if isinstance(value, Mapping) and isinstance(value.get("text"), (list, tuple)):
        texts, starts = value["text"], _start(value)
        starts = [None] * len(texts) if starts is None else starts
        if not isinstance(starts, (list, tuple)) or len(starts) != len(texts):
            raise DataError(f"{where}: {len(texts)} answers need as many offsets in answer_start, found {starts!r}")
        return [_checked(text, start, where) for text, start in zip(texts, starts, strict=True)]
    if isinstance(value, Mapping):
        return [_checked(value["text"], _start(value), where)] if value.get("text") is not None else _none(value, where)
    if isinstance(value, (list, tuple)):
        return [pair for one in value for pair in _pairs(one, where)]
    raise DataError(f"{where}: the answers are {value!r}; allowed: {FORMS}")


def _none(value: Mapping[str, Any], where: str) -> list[tuple[str, int | None]]:
    if value and "text" not in value:
        raise DataError(f"{where}: the answer {dict(value)!r} has no 'text'; allowed: {FORMS}")
    return []


def _from_json(text: str) -> Any:
    """Return what a cell of a csv file spells out as JSON, else the text itself."""
    if text[:1] not in ("{", "["):
        return text
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    plain = isinstance(found, list) and not all(isinstance(one, (dict, str)) for one in found)
    return text if plain else found  # "[1]" is an answer like any other


def _start(value: Mapping[str, Any]) -> Any:
    return value["answer_start"] if value.get("answer_start") is not None else value.get("start")


def _checked(text: Any, start: Any, where: str) -> tuple[str, int | None]:
    if not isinstance(text, str):
        raise DataError(f"{where}: the answer {text!r} is not a text; allowed: {FORMS}")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int)):
        raise DataError(f"{where}: answer_start of {_short(text)} is {start!r}; a whole number of characters is needed")
    return text, start


def _places(text: str, context: str) -> Sequence[int]:
    """Return where a text begins in the context, overlaps included."""
    places = []
    at = context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    return places


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
