"""Reference answers in the forms that data sets use, converted to one form and located in their context."""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.text.cells import Printed, looks_printed, read_printed

FORMS = (
    'a text that occurs in the context once, {"text": ..., "start" or "answer_start": ...}, a list of either, or '
    '{"text": [...], "answer_start": [...]}; an empty value means no answer'
)
# An answer that is this many characters away from its offset, or fewer, is the one that was meant.
NEAR = 3
# The length of a text in the units that offsets of other tools count.
_OTHER_UNITS: dict[str, Callable[[str], int]] = {
    "in UTF-16 units": lambda text: len(text.encode("utf-16-le", "surrogatepass")) // 2,
    "in bytes": lambda text: len(text.encode("utf-8", "surrogatepass")),
    "with line ends of two characters": lambda text: len(text.replace("\r\n", "\n").replace("\n", "\r\n")),
    "with line ends of one character": lambda text: len(text.replace("\r\n", "\n")),
    "in another Unicode form (NFC)": lambda text: len(unicodedata.normalize("NFC", text)),
    "in another Unicode form (NFD)": lambda text: len(unicodedata.normalize("NFD", text)),
}


@dataclass(frozen=True)
class Answer:
    """An answer and its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True)
class Repair:
    """A correction of an offset or of the form of an answer: the sentence about this answer, and the kind of cause."""

    text: str
    cause: str


@dataclass(frozen=True)
class LocatedAnswers:
    """The answers of a row, a note on each correction, and the cell that they were read from, if it was a list or an object."""

    answers: tuple[Answer, ...]
    repaired: tuple[Repair, ...]
    cell: Printed | None


def find_answers(value: Any, context: str, where: str) -> LocatedAnswers:
    """Return the answers in `value` with their positions in the context.

    A wrong offset is corrected if the right position is clear: the answer occurs once, within NEAR characters, or at the offset
    in other units. An answer in another Unicode form gets the form of the context. Answers of white space mean no answer.
    Raises DataError, with `where`, for other answers.
    """
    answers: list[Answer] = []
    repaired: list[Repair] = []
    cell = _printed_answers(value) if isinstance(value, str) else None
    for text, start in _pairs(value if cell is None else cell.value, where):
        if not text.strip():
            continue
        if start is not None and start >= 0 and context.startswith(text, start):
            answers.append(Answer(text, start))
            continue
        form, positions = _occurrences(text, context)
        position, cause = _choose(positions, start, context)
        if position is None:
            raise DataError(f"{where}: {_not_found(text, positions, start, context)}")
        answers.append(Answer(form, position))
        if form != text:
            repaired.append(
                Repair(
                    f"{where}: the answer {_short(text)} has another Unicode form than the context",
                    "in another Unicode form",
                )
            )
        elif start is not None:
            given = f"{where}: the answer {_short(text)} is at character {position}, not at character {start} as given"
            repaired.append(Repair(given, cause))
    return LocatedAnswers(tuple(answers), tuple(repaired), cell)


def read_texts(value: Any, where: str, printed: list[Printed]) -> list[str]:
    """Return the texts of the answers in `value`, in any of FORMS, without positions; an empty list for no answer.

    A cell that prints a list or an object is appended to `printed`. Raises DataError, with `where`, for other values.
    """
    cell = _printed_answers(value) if isinstance(value, str) else None
    if cell is not None:
        printed.append(cell)
    pairs = _pairs(value if cell is None else cell.value, where)
    return list(dict.fromkeys(text.strip() for text, _ in pairs if text.strip()))


def check_is_impossible(value: Any, n_answers: int, where: str) -> None:
    """Check the column is_impossible against the answers of a row. Raises DataError, with `where`, for a contradiction."""
    is_impossible = _is_impossible(value, where)
    if is_impossible is not None and is_impossible == bool(n_answers):
        raise DataError(
            f"{where}: is_impossible is {str(is_impossible).lower()}, but the row has {n_answers} answers; correct one of them"
        )


def _is_impossible(value: Any, where: str) -> bool | None:
    """Return the value of the column, also given as text; None for a missing value."""
    if value is None or value == "" or value != value:
        return None
    values = {"true": True, "false": False, "1": True, "0": False}
    if (is_impossible := values.get(str(value).lower())) is None:
        raise DataError(f"{where}: column 'is_impossible' must be true or false; found {value!r}")
    return is_impossible


def _occurrences(text: str, context: str) -> tuple[str, Sequence[int]]:
    """Return the Unicode form of a text that occurs in the context, and its positions; the text itself if none occurs."""
    for form in dict.fromkeys((text, *(unicodedata.normalize(name, text) for name in ("NFC", "NFD")))):
        if positions := _positions(form, context):
            return form, positions
    return text, []


def _choose(positions: Sequence[int], start: int | None, context: str) -> tuple[int | None, str]:
    """Return the occurrence that is meant, None if that is not clear, and the cause of a wrong offset."""
    if start is not None:
        meant: dict[int, str] = {}
        for position in positions:
            if unit := next(
                (unit for unit, length in _OTHER_UNITS.items() if length(context[:position]) == start), None
            ):
                meant[position] = unit
        if near := sorted(positions, key=lambda position: abs(position - start))[:2]:
            distance = abs(near[0] - start)
            is_unique = len(near) == 1 or abs(near[1] - start) > distance
            if distance <= NEAR and is_unique:
                meant.setdefault(near[0], f"off by {distance} characters" if distance > 1 else "off by 1 character")
        if len(meant) == 1:
            return next(iter(meant.items()))
    return (positions[0], "with only one occurrence") if len(positions) == 1 else (None, "")


def _not_found(text: str, positions: Sequence[int], start: int | None, context: str) -> str:
    """Return the problem with an answer whose position is not clear, and its likely cause."""
    given = "" if start is None else f", not at character {start} as given"
    problem = f"the answer {_short(text)} occurs {len(positions)} times in the context{given}"
    remedy = "; correct the row, or set answer_start to the first character of the answer"
    if positions:
        return problem + remedy
    if looks_printed(text) and text[0] in "{[":
        return f"{problem}. It looks like a list or an object, but cannot be read; write the rows as jsonl or parquet"
    for difference, same in (
        ("case", str.casefold),
        ("white space", lambda value: " ".join(value.split())),
        ("Unicode form", lambda value: unicodedata.normalize("NFKC", value)),
        (
            "case, white space and Unicode form",
            lambda value: " ".join(unicodedata.normalize("NFKC", value).casefold().split()),
        ),
    ):
        if same(text) in same(context):
            return f"{problem}, where it differs in {difference}; copy it from the context"
    return problem + remedy


def _printed_answers(text: str) -> Printed | None:
    """Return the list or object that a cell of a text file holds; None for an answer as text, such as "[1]"."""
    if not text.strip().startswith(("{", "[", "array(", "np.array(", "numpy.array(")):
        return None
    printed = read_printed(text)
    if printed is None:
        return None
    if isinstance(printed.value, dict):
        return printed
    return printed if all(isinstance(item, (dict, str)) for item in printed.value) else None


def _pairs(value: Any, where: str) -> list[tuple[str, int | None]]:
    """Return (text, offset or None) of each answer."""
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


def _start(value: Mapping[str, Any]) -> Any:
    return value["answer_start"] if value.get("answer_start") is not None else value.get("start")


def _checked(text: Any, start: Any, where: str) -> tuple[str, int | None]:
    """Return an answer with its offset; 13.0 is read as 13, and NaN as a missing offset."""
    if not isinstance(text, str):
        raise DataError(f"{where}: answer {text!r} is not a text; allowed: {FORMS}")
    if isinstance(start, float) and (math.isnan(start) or start.is_integer()):
        start = None if math.isnan(start) else int(start)
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
