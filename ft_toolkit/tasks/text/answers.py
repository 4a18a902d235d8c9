"""Reference answers in the forms that data sets use, converted to one form and located in their context."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import DataError

FORMS = (
    'a text that occurs in the context once, {"text": ..., "start" or "answer_start": ...}, a list of either, or '
    '{"text": [...], "answer_start": [...]}; an empty value means no answer'
)


@dataclass(frozen=True)
class Answer:
    """An answer and its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True)
class LocatedAnswers:
    """The answers of a row, and a note on each offset that was corrected."""

    answers: tuple[Answer, ...]
    repaired: tuple[str, ...]


def find_answers(value: Any, context: str, where: str) -> LocatedAnswers:
    """Return the answers in `value` with their positions in the context.

    An answer without an offset, or with a wrong one, must occur in the context exactly once. Answers of white space mean no
    answer. Raises DataError, with `where`.
    """
    answers: list[Answer] = []
    repaired: list[str] = []
    for text, start in _pairs(value, where):
        if not text.strip():
            continue
        if start is not None and start >= 0 and context.startswith(text, start):
            answers.append(Answer(text, start))
            continue
        positions = _positions(text, context)
        wrong = "" if start is None else f", not at character {start} as given"
        if len(positions) != 1:
            raise DataError(
                f"{where}: the answer {_short(text)} occurs {len(positions)} times in the context{wrong}; correct the row, or "
                "set answer_start to the first character of the answer"
            )
        answers.append(Answer(text, positions[0]))
        if start is not None:
            repaired.append(f"{where}: the answer {_short(text)} is at character {positions[0]}{wrong}")
    return LocatedAnswers(tuple(answers), tuple(repaired))


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
            raise DataError(
                f"{where}: {len(texts)} answers require {len(texts)} offsets in answer_start; found {starts!r}"
            )
        return [_checked(text, start, where) for text, start in zip(texts, starts, strict=True)]
    if isinstance(value, Mapping):
        return [_checked(value["text"], _start(value), where)] if value.get("text") is not None else _none(value, where)
    if isinstance(value, (list, tuple)):
        return [pair for item in value for pair in _pairs(item, where)]
    raise DataError(f"{where}: invalid answers {value!r}; allowed: {FORMS}")


def _none(value: Mapping[str, Any], where: str) -> list[tuple[str, int | None]]:
    if value and "text" not in value:
        raise DataError(f"{where}: answer {dict(value)!r} without 'text'; allowed: {FORMS}")
    return []


def _from_json(text: str) -> Any:
    """Return the value of a csv cell with JSON, otherwise the text."""
    if text[:1] not in ("{", "["):
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    is_plain_text = isinstance(value, list) and not all(isinstance(item, (dict, str)) for item in value)
    return text if is_plain_text else value  # "[1]" is an answer


def _start(value: Mapping[str, Any]) -> Any:
    return value["answer_start"] if value.get("answer_start") is not None else value.get("start")


def _checked(text: Any, start: Any, where: str) -> tuple[str, int | None]:
    if not isinstance(text, str):
        raise DataError(f"{where}: answer {text!r} is not a text; allowed: {FORMS}")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int)):
        raise DataError(f"{where}: answer_start of {_short(text)} must be an integer; found {start!r}")
    return text, start


def _positions(text: str, context: str) -> Sequence[int]:
    """Return the positions at which a text occurs in the context, including overlaps."""
    positions = []
    position = context.find(text)
    while position >= 0:
        positions.append(position)
        position = context.find(text, position + 1)
    return positions


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
