"""Find entities with a boundary inside a word, which usually means that their offsets count something else."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import one_of
from ft_toolkit.core.words import find_words
from ft_toolkit.tasks.base import Rows
from ft_toolkit.tasks.text.windows import Span

# A cause explains the offsets if it moves this share of the entities inside words to the boundaries of words.
EXPLAINED = 0.8
# Different examples in the note.
_N_EXAMPLES = 2
# Names of counts: all entities of rows without tokens, and those that start or end inside a word.
_ALL, _INSIDE = "all entities", "inside words"


@dataclass(frozen=True)
class _InsideWord:
    """An entity with a boundary inside a word: the text, its words, and the span."""

    text: str
    words: Sequence[Span]
    span: Span

    @property
    def spans(self) -> list[Span]:
        """The span, and the span with the white space at its end, which reading the row has removed."""
        start, end = self.span
        return [self.span, (start, end + 1)] if self.text[end : end + 1].isspace() else [self.span]

    @property
    def example(self) -> str:
        """The entity and the word that it cuts, such as "'Ann' in 'Anna'"."""
        start, end = self.span
        first, last = _word_at(self.words, start), _word_at(self.words, end - 1)
        around = self.text[first[0] if first else start : last[1] if last else end]
        return f"{self.text[start:end]!r} in {around!r}"


def offset_note(rows: Rows) -> CountedNote:
    """Return a note on entities that start or end inside a word, with the likely cause; an empty note without such entities.

    `rows` have text and entities; rows with tokens have their own words and are not checked. The counts are the numbers of
    entities: all, those inside words, those that each cause explains, and those of each of the first different examples.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, None] = {}
    for row in rows:
        if not row.get("entities") or row.get("tokens") is not None:
            continue
        counts[_ALL] += len(row["entities"])
        for entity in _inside_words(row["text"], row["entities"]):
            counts[_INSIDE] += 1
            for cause, moved in _CAUSES.items():
                counts[cause] += any(_is_whole(entity, moved(entity.text, span)) for span in entity.spans)
            if len(examples) < _N_EXAMPLES:
                examples[entity.example] = None
            if entity.example in examples:
                counts[entity.example] += 1
    return CountedNote("offsets of entities", counts, _offset_text, len(rows))


def _offset_text(counts: Mapping[str, int], n_rows: int) -> str:
    if not (n_inside := counts.get(_INSIDE, 0)):
        return ""
    examples = [name for name in counts if name not in (_ALL, _INSIDE, *_CAUSES)][:_N_EXAMPLES]
    note = f"{n_inside} of {counts[_ALL]} entities start or end inside a word (such as {one_of(examples)})"
    for cause in _CAUSES:
        if (n_explained := counts.get(cause, 0)) >= EXPLAINED * n_inside:
            return f"{note}. {cause} explains {n_explained} of them: {_RULE}"
    return f"{note}. Are the offsets right? {_RULE[0].upper()}{_RULE[1:]}"


_RULE = "`start` and `end` count characters from 0, and `end` is the first character after the entity"


def _inside_words(text: str, entities: Sequence[Mapping[str, Any]]) -> Iterator[_InsideWord]:
    words = find_words(text)
    for entity in entities:
        span = entity["start"], entity["end"]
        if any(_is_inside(words, position) for position in span):
            yield _InsideWord(text, words, span)


def _word_at(words: Sequence[Span], position: int) -> Span | None:
    """Return the word that contains a character."""
    number = bisect_right(words, position, key=lambda word: word[0]) - 1
    return words[number] if number >= 0 and position < words[number][1] else None


def _is_inside(words: Sequence[Span], boundary: int) -> bool:
    """Return whether a boundary is between two characters of a word."""
    word = _word_at(words, boundary)
    return word is not None and word[0] < boundary


def _is_whole(entity: _InsideWord, span: Span | None) -> bool:
    """Return whether a span starts and ends at boundaries of words and holds more than white space."""
    if span is None or not 0 <= span[0] < span[1] <= len(entity.text):
        return False
    return bool(entity.text[span[0] : span[1]].strip()) and not any(_is_inside(entity.words, end) for end in span)


def _in_units(encoding: str, size: int) -> Callable[[str, Span], Span | None]:
    """Return a function that converts a span in units of an encoding to characters."""

    def moved(text: str, span: Span) -> Span | None:
        encoded = text.encode(encoding, "surrogatepass")
        start, end = (len(encoded[: size * position].decode(encoding, "ignore")) for position in span)
        return (start, end) if (start, end) != span else None

    return moved


# The span that was meant, if the cause is right.
_CAUSES: dict[str, Callable[[str, Span], Span | None]] = {
    "An `end` that is the last character of the entity": lambda text, span: (span[0], span[1] + 1),
    "Offsets in UTF-16 units": _in_units("utf-16-le", 2),
    "Offsets in bytes": _in_units("utf-8", 1),
}
