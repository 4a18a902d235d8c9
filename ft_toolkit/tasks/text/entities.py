"""Rows of named entities: tokens with tags, or a text with spans, checked and brought into one form."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.metrics.spans import TAG, find_scheme, read_tags
from ft_toolkit.tasks.base import Row, Rows
from ft_toolkit.tasks.text.windows import Span
from ft_toolkit.tasks.text.words import find_words, place_words


def words_of(row: Row) -> list[Span]:
    """Return the words of a row in the form of `read_entity_rows`: its tokens where it has them, else those of its text."""
    if row.get("tokens") is None:
        return find_words(row["text"])
    placed = place_words(row["tokens"], row["text"])
    assert placed is not None  # read_entity_rows placed them
    return placed


def read_entity_rows(rows: Rows, where: str) -> tuple[Rows, list[str]]:
    """Return rows in one form, and notes on what was changed.

    Each row gets `text` (tokens joined by spaces, unless it has a text in which they stand in order); `tokens`, if it has
    them; and, if it is labelled, `entities`: a list of {start, end, label} in characters of the text, ascending, apart.
    Tags may be in IOB1, IOB2, BIOES or BILOU: the scheme is that which fits all rows best. Text files may hold tokens and
    tags separated by spaces, and entities as JSON. Raises DataError.
    """
    read = [_read_words(row, f"{where}: row {number}") for number, row in enumerate(rows, 1)]
    tagged = [row["tags"] for row in read if row.get("tags") is not None]
    scheme = find_scheme(tagged)
    illegal = cut = 0
    found: list[Row] = []
    for number, row in enumerate(read, 1):
        tags, entities = row.pop("tags", None), row.pop("entities", None)
        if tags is not None:
            if entities is not None:
                raise DataError(f"{where}: row {number}: has both 'tags' and 'entities'; leave one out")
            spans, bad = read_tags(tags, scheme)
            illegal += bad
            places = words_of(row)
            row["entities"] = [{"start": places[a][0], "end": places[b - 1][1], "label": n} for a, b, n in spans]
        elif entities is not None:
            row["entities"], n_cut = _read_entities(entities, row["text"], f"{where}: row {number}")
            cut += n_cut
        found.append(row)
    notes = []
    if tagged and scheme != "IOB2":
        notes.append(f"tags are in {scheme} and were read as such; the model learns IOB2")
    if illegal:
        notes.append(
            f"{illegal} tags are illegal in {scheme} (such as I-X after O) and were read as conlleval reads them: an entity "
            "begins there"
        )
    if cut:
        notes.append(f"{cut} entities began or ended with white space, which was cut off")
    return found, notes


def _read_words(row: Row, where: str) -> dict[str, Any]:
    """Return a row with text, tokens and tags of the right types."""
    made = {key: value for key, value in row.items() if value is not None}
    for column in ("tokens", "tags"):
        if column in made:
            made[column] = _strings(made[column], f"{where}: column '{column}'")
    tokens, tags, text = made.get("tokens"), made.get("tags"), made.get("text")
    if text is None and tokens is None:
        raise DataError(
            f"{where}: neither tokens nor a text; say which columns with data.columns.tokens=NAME or data.columns.text=NAME"
        )
    if text is not None and not isinstance(text, str):
        raise DataError(f"{where}: column 'text' holds {text!r}; text is needed")
    if tags is not None:
        if tokens is None:
            raise DataError(f"{where}: tags without tokens; say which column has these with data.columns.tokens=NAME")
        if len(tags) != len(tokens):
            raise DataError(f"{where}: {len(tokens)} tokens, but {len(tags)} tags; each token needs one")
        for tag in tags:
            if not TAG.fullmatch(tag):
                raise DataError(
                    f"{where}: tag {tag!r}; allowed: O, or B- or I- (also S-, E-, U-, L-) and a type: B-PER"
                )
    if text is None:
        made["text"] = " ".join(tokens or ())
    elif tokens is not None and place_words(tokens, text) is None:
        raise DataError(f"{where}: the tokens do not stand in the text in this order; leave one of the two out")
    return made


def _strings(value: Any, where: str) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, (list, tuple)):
        raise DataError(f"{where} holds {value!r}; a list of texts is needed, or a text with spaces between them")
    for item in value:
        if not isinstance(item, str):
            remedy = (
                "write the tags' names (such as B-PER) instead of numbers" if isinstance(item, int) else "write text"
            )
            raise DataError(f"{where} holds {item!r}; {remedy}")
    return list(value)


def _read_entities(value: Any, text: str, where: str) -> tuple[list[dict[str, Any]], int]:
    """Return the entities in order, and how many had white space at their borders."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise DataError(f"{where}: column 'entities' holds {value!r}, which is not JSON") from None
    if not isinstance(value, (list, tuple)):
        raise DataError(f"{where}: column 'entities' holds {value!r}; a list of {{start, end, label}} is needed")
    found = sorted((_read_entity(one, text, where) for one in value), key=lambda one: (one[0], one[1]))
    for one, other in pairwise(found):
        if other[0] < one[1]:
            both = " and ".join(f"{text[start:end]!r} ({label})" for start, end, label in (one, other))
            raise DataError(f"{where}: the entities {both} overlap; entities stand apart here, so keep one of them")
    cut = 0
    entities = []
    for start, end, label in found:
        inner = text[start:end]
        left, right = len(inner) - len(inner.lstrip()), len(inner) - len(inner.rstrip())
        cut += bool(left or right)
        entities.append({"start": start + left, "end": end - right, "label": label})
    return entities, cut


def _read_entity(one: Any, text: str, where: str) -> tuple[int, int, str]:
    if not isinstance(one, Mapping) or not {"start", "end", "label"} <= one.keys():
        raise DataError(f"{where}: entity {one!r}; start, end and label are needed")
    start, end, label = one["start"], one["end"], one["label"]
    if not all(isinstance(place, int) for place in (start, end)) or not 0 <= start <= end <= len(text):
        raise DataError(
            f"{where}: entity from {start!r} to {end!r}, but the text has {len(text)} characters; count characters from 0, "
            "the end being the first one after the entity"
        )
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where}: entity {text[start:end]!r} has the label {label!r}; the name of its type is needed")
    if not text[start:end].strip():
        raise DataError(f"{where}: the {label} from {start} to {end} is empty; an entity holds at least one character")
    if one.get("text", text[start:end]) != text[start:end]:
        raise DataError(
            f"{where}: from {start} to {end} the text reads {text[start:end]!r}, but the entity says {one['text']!r}; "
            "count characters, not bytes or UTF-16 units"
        )
    return start, end, label


def entity_spans(entities: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, str]]:
    """Return entities as (start, end, label)."""
    return [(one["start"], one["end"], one["label"]) for one in entities]
