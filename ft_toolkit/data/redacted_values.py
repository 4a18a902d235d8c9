"""Replace personal data in the values of a record, and move the spans and answers that refer to its text.

{"text": "mail a@b.org now", "entities": [{"start": 5, "end": 12, "label": "MAIL"}]}
{"text": "mail [EMAIL] now", "entities": [{"start": 5, "end": 12, "label": "MAIL"}]}
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.faults.personal_data import matches
from ft_toolkit.tasks.text.edits import Edit, Moves, apply_edits

PLACEHOLDERS = {"mail": "[EMAIL]", "phone": "[PHONE]", "iban": "[IBAN]", "card": "[CARD]"}
# Columns whose values identify a row. A long number may have the check digit of a card number by chance.
_IDENTIFIER = re.compile(r"(.*[_ -])?(id|ids|uid|uuid|guid)", re.IGNORECASE)
# The keys of the text that spans and answers of a record refer to, and the keys of positions.
_TEXTS = ("context", "text", "data", "content", "sentence", "document")
_STARTS, _ENDS = ("start", "start_offset"), ("end", "end_offset")
_POSITION = re.compile(r".*(start|end|begin|offset|span).*", re.IGNORECASE)


class _UnmovableError(Exception):
    """A position that cannot be moved. The message completes "the text has personal data, and "."""


@dataclass(frozen=True)
class _Reference:
    """The text that positions refer to, and its edits."""

    text: str = ""
    edits: Sequence[Edit] = ()

    def move(self, start: int, end: int, shown: Any) -> tuple[int, int]:
        """Return a span after the edits. `shown` is its text, if the record has it. Raises _UnmovableError."""
        moves = Moves(self.edits)
        if isinstance(shown, str) and self.text[start:end] != shown:
            raise _UnmovableError(f"the position {start} is not the position of {shown!r}")
        moved = moves(start), moves(end)
        if not 0 <= start <= end <= len(self.text) or moved[0] is None or moved[1] is None:
            raise _UnmovableError(f"the span {start} to {end} begins or ends inside it: {self.text[:60]!r}")
        return moved[0], moved[1]

    def cut(self, start: int, end: int) -> str:
        """Return the text of a span of the old text after the edits."""
        new_start, new_end = self.move(start, end, None)
        return apply_edits(self.text, self.edits)[new_start:new_end]


@dataclass
class Redactor:
    """Replaces personal data in records, and counts the replacements by kind."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def change(self, value: Any, where: str) -> Any:
        """Return a text, record, document or list of words with placeholders.

        A record whose spans cannot be moved is returned without a change, and named in `problems`.
        """
        counts = Counter(self.counts)
        try:
            changed = self._value(value, _Reference())
        except _UnmovableError as error:
            self.problems.append(f"{where}: the text has personal data, and {error}")
            self.counts = counts
            return value
        return changed

    def _value(self, value: Any, reference: _Reference, key: str = "") -> Any:
        if isinstance(value, str):
            if reference.edits and value.isdigit() and _POSITION.fullmatch(key):
                raise _UnmovableError(f"{key!r} may be a position in it")
            return self._text(value, reference)
        if isinstance(value, Mapping):
            return self._record(value, reference)
        if isinstance(value, (list, tuple)):
            return self._list(value, reference, key)
        if reference.edits and _is_position(value) and _POSITION.fullmatch(key):
            raise _UnmovableError(f"{key!r} may be a position in it")
        return value

    def _text(self, text: str, reference: _Reference) -> str:
        """Return a text with placeholders. In a record with changed texts, a text that is JSON may have positions."""
        if reference.edits and text[:1] in "[{" and re.search(r"\d", text):
            try:
                parsed = json.loads(text)
            except ValueError:
                raise _UnmovableError(f"the cell {text[:40]!r} may have positions in it") from None
            return json.dumps(self._value(parsed, reference), ensure_ascii=text.isascii())
        return self._replace(text, find_edits(text))

    def _replace(self, text: str, edits: Sequence[Edit]) -> str:
        self.counts.update(placeholder for _, _, placeholder in edits)
        return apply_edits(text, edits)

    def _record(self, record: Mapping[str, Any], outer: _Reference) -> dict[str, Any]:
        if (moved := self._span(record, outer)) is not None:
            return moved
        reference = _reference_of(record) or outer
        if any(_is_column(value) for key, value in record.items() if key in _TEXTS) and any(
            isinstance(item, (list, dict)) for value in record.values() if isinstance(value, list) for item in value
        ):
            raise _UnmovableError("the file has lists of texts and of spans; write one record per row")
        return {
            key: value
            if _IDENTIFIER.fullmatch(str(key))
            else self._replace(value, reference.edits)
            if value is reference.text
            else self._value(value, reference, str(key))
            for key, value in record.items()
        }

    def _span(self, record: Mapping[str, Any], reference: _Reference) -> dict[str, Any] | None:
        """Return a moved span, answer, or lists of answers; None for another record."""
        if "context" in record:
            return None
        starts = record.get("answer_start")
        texts = record.get("text", record.get("answer_text"))
        if isinstance(starts, int) and isinstance(texts, str):
            key = "text" if "text" in record else "answer_text"
            (start,), (text,) = self._answers([starts], [texts], reference)
            return {**record, "answer_start": start, key: text}
        if isinstance(starts, (list, tuple)) and isinstance(texts, (list, tuple)) and len(starts) == len(texts):
            moved, cut = self._answers(starts, texts, reference)
            return {**record, "answer_start": moved, "text": cut}
        start_key = next((key for key in _STARTS if key in record), None)
        end_key = next((key for key in _ENDS if key in record), None)
        if start_key is None or end_key is None or not reference.text:
            return None
        first, last = record[start_key], record[end_key]
        if isinstance(first, list) and isinstance(last, list) and len(first) == len(last):
            spans = [reference.move(s, e, None) for s, e in zip(first, last, strict=True)]
            return {**record, start_key: [s for s, _ in spans], end_key: [e for _, e in spans]}
        if not _is_position(first) or not _is_position(last):
            return None
        shown = record.get("text")
        start, end = reference.move(first, last, shown)
        return {
            **record,
            start_key: start,
            end_key: end,
            **({"text": reference.cut(first, last)} if isinstance(shown, str) else {}),
        }

    def _answers(
        self, starts: Sequence[int], texts: Sequence[str], reference: _Reference
    ) -> tuple[list[int], list[str]]:
        moved, cut = list[int](), list[str]()
        for start, text in zip(starts, texts, strict=True):
            if not text:
                moved.append(start)
                cut.append(text)
                continue
            moved.append(reference.move(start, start + len(text), text)[0] if reference.edits else start)
            cut.append(
                reference.cut(start, start + len(text)) if reference.edits else self._replace(text, find_edits(text))
            )
        return moved, cut

    def _list(self, values: Sequence[Any], reference: _Reference, key: str) -> list[Any]:
        if len(values) == 3 and _is_position(values[0]) and _is_position(values[1]) and isinstance(values[2], str):
            return [*reference.move(values[0], values[1], None), values[2]] if reference.edits else list(values)
        if len(values) == 2 and isinstance(values[0], str) and isinstance(values[1], Mapping):  # spaCy
            edits = find_edits(values[0])
            return [self._replace(values[0], edits), self._value(values[1], _Reference(values[0], edits))]
        if values and all(isinstance(value, str) and not re.search(r"\s", value) for value in values):
            return self._words(list(values))
        return [self._value(value, reference, key) for value in values]

    def _words(self, words: list[str]) -> list[str]:
        """Return words with placeholders. A phone number of three words becomes three placeholders, so that tags stay."""
        edits = find_edits(" ".join(words))
        self.counts.update(placeholder for _, _, placeholder in edits)
        start, changed = 0, []
        for word in words:
            end = start + len(word)
            of_word = [(max(s, start) - start, min(e, end) - start, p) for s, e, p in edits if s < end and e > start]
            changed.append(apply_edits(word, of_word))
            start = end + 1
        return changed


def find_edits(text: str) -> list[Edit]:
    """Return the replacements of the personal data in a text."""
    return [(start, end, PLACEHOLDERS[kind]) for kind, start, end in matches(text)]


def _reference_of(record: Mapping[str, Any]) -> _Reference | None:
    """Return the text that positions in a record refer to; None if the record has none."""
    for key in _TEXTS:
        value = record.get(key)
        if isinstance(value, Mapping):  # Label Studio: {"data": {"text": ...}, "annotations": ...}
            value = value.get("text")
        if isinstance(value, str):
            return _Reference(value, find_edits(value))
    return None


def _is_column(value: Any) -> bool:
    """Return whether a value is a list of texts with personal data."""
    return isinstance(value, list) and any(isinstance(text, str) and find_edits(text) for text in value)


def _is_position(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_problems(problems: Sequence[str]) -> None:
    """Raise DataError with the records whose spans cannot be moved."""
    if problems:
        more = f"\n  and {len(problems) - 5} more" if len(problems) > 5 else ""
        shown = "".join(f"\n  {problem}" for problem in problems[:5])
        raise DataError(
            f"--redact: {len(problems)} record{'s' if len(problems) > 1 else ''} cannot be redacted, and nothing was written:"
            f"{shown}{more}\nCorrect or remove these records, and repeat the command"
        )
