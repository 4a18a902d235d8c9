"""Rows of named entities: tokens with tags, or a text with spans, checked and converted to one form."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import DataError
from ft_toolkit.core.words import find_words
from ft_toolkit.metrics.spans import TAG, find_scheme, read_tags
from ft_toolkit.tasks.base import Row, Rows
from ft_toolkit.tasks.text.cells import Printed, form_notes, read_printed
from ft_toolkit.tasks.text.entity_offsets import offset_note
from ft_toolkit.tasks.text.labels import case_note, label_name
from ft_toolkit.tasks.text.tag_cells import read_list_cell
from ft_toolkit.tasks.text.windows import Span
from ft_toolkit.tasks.text.words import place_words


def words_of(row: Row) -> list[Span]:
    """Return the words of a row of `read_entity_rows`: its tokens, otherwise the words of its text."""
    if row.get("tokens") is None:
        return find_words(row["text"])
    placed = place_words(row["tokens"], row["text"])
    assert placed is not None  # read_entity_rows placed them
    return placed


def read_entity_rows(rows: Rows, where: str) -> tuple[Rows, list[str]]:
    """Return rows in one form, and notes on the changes.

    Each row gets `text` (its own text, which must contain the tokens in order, or the tokens joined by spaces), `tokens` if it
    has any, and `entities` if it is labelled: a list of {start, end, label} in characters of the text, ascending, without
    overlap. Tags may follow IOB1, IOB2, BIOES or BILOU, which give the same entities; the notes are about the scheme that fits
    all rows best. In text files, tokens and tags are printed lists or separated by spaces, and entities are printed lists.
    Raises DataError.
    """
    printed: dict[str, list[Printed]] = defaultdict(list)
    read = [_read_words(row, f"{where}: row {number}", printed) for number, row in enumerate(rows, 1)]
    tag_counts: Counter[str] = Counter()
    n_stripped = 0
    rows_read: list[Row] = []
    for number, row in enumerate(read, 1):
        tags, entities = row.pop("tags", None), row.pop("entities", None)
        if tags is not None:
            if entities is not None:
                raise DataError(f"{where}: row {number}: has both 'tags' and 'entities'; remove one of them")
            spans, counts = read_tags(tags)
            tag_counts.update(counts)
            words = words_of(row)
            row["entities"] = [{"start": words[a][0], "end": words[b - 1][1], "label": n} for a, b, n in spans]
        elif entities is not None:
            row["entities"], n = _read_entities(entities, row["text"], f"{where}: row {number}", printed)
            n_stripped += n
        rows_read.append(row)
    notes = [note for column, cells in printed.items() for note in form_notes(column, cells)]
    labels = Counter(entity["label"] for row in rows_read for entity in row.get("entities", ()))
    notes += [
        CountedNote("entity types", labels, lambda counts, n_rows: case_note(counts) or "", len(rows)),
        CountedNote("tag scheme", tag_counts, _scheme_text, len(rows)),
        CountedNote("illegal tags", tag_counts, _illegal_text, len(rows)),
        CountedNote("white space of entities", {"stripped": n_stripped}, _stripped_text, len(rows)),
        offset_note(rows_read),
    ]
    return rows_read, notes


def _scheme_text(counts: Mapping[str, int], n_rows: int) -> str:
    scheme = find_scheme(counts)
    return "" if scheme == "IOB2" else f"tags follow {scheme}; the model learns IOB2"


def _illegal_text(counts: Mapping[str, int], n_rows: int) -> str:
    scheme = find_scheme(counts)
    if not (n := counts.get(scheme, 0)):
        return ""
    return f"{n} tags are illegal in {scheme} (such as I-X after O); as in conlleval, an entity starts at each of them"


def _stripped_text(counts: Mapping[str, int], n_rows: int) -> str:
    n = counts["stripped"]
    return f"{n} entities started or ended with white space, which was removed" if n else ""


def _read_words(row: Row, where: str, printed: dict[str, list[Printed]]) -> dict[str, Any]:
    """Return a row with its text, and with tokens and tags as lists; append to `printed`, by column. Raises DataError."""
    checked = {key: value for key, value in row.items() if value is not None}
    for column in ("tokens", "tags"):
        if column in checked:
            checked[column], cell = _strings(checked[column], f"{where}: column '{column}'")
            printed[column] += [cell] if cell is not None else []
    tokens, tags, text = checked.get("tokens"), checked.get("tags"), checked.get("text")
    if text is None and tokens is None:
        raise DataError(
            f"{where}: no tokens and no text; name the column with data.columns.tokens=NAME or data.columns.text=NAME"
        )
    if text is not None and not isinstance(text, str):
        raise DataError(f"{where}: column 'text' must be text; found {text!r}")
    if tags is not None:
        if tokens is None:
            raise DataError(
                f"{where}: tags without tokens; name the column of the tokens with data.columns.tokens=NAME"
            )
        if len(tags) != len(tokens):
            raise DataError(f"{where}: {len(tokens)} tokens but {len(tags)} tags; each token needs one tag")
        for tag in tags:
            if not TAG.fullmatch(tag):
                raise DataError(
                    f"{where}: invalid tag {tag!r}; allowed: O, or a prefix (B-, I-, S-, E-, U-, L-) and a type, such as B-PER"
                )
    if text is None:
        checked["text"] = " ".join(tokens or ())
    elif tokens is not None and place_words(tokens, text) is None:
        raise DataError(f"{where}: the text does not contain the tokens in this order; remove one of the two columns")
    return checked


def _strings(value: Any, where: str) -> tuple[list[str], Printed | None]:
    items, printed = read_list_cell(value, where)
    for item in items:
        if not isinstance(item, str):
            hint = "; replace numbers by the names of the tags, such as B-PER" if isinstance(item, int) else ""
            raise DataError(f"{where} must contain texts only; found {item!r}{hint}")
    return items, printed


def _read_entities(
    value: Any, text: str, where: str, printed: dict[str, list[Printed]]
) -> tuple[list[dict[str, Any]], int]:
    """Return the entities in order, and the number of those with white space at their ends; append to `printed`."""
    if isinstance(value, str):
        cell = read_printed(value)
        if cell is None:
            raise DataError(f"{where}: column 'entities' must be a list as JSON or Python print it; found {value!r}")
        printed["entities"].append(cell)
        value = cell.value
    if not isinstance(value, (list, tuple)):
        raise DataError(f"{where}: column 'entities' must be a list of {{start, end, label}}; found {value!r}")
    spans = sorted((_read_entity(entity, text, where) for entity in value), key=lambda span: (span[0], span[1]))
    for span, following in pairwise(spans):
        if following[0] < span[1]:
            both = " and ".join(f"{text[start:end]!r} ({label})" for start, end, label in (span, following))
            raise DataError(f"{where}: the entities {both} overlap, which is not supported; keep one of them")
    n_stripped = 0
    entities = []
    for start, end, label in spans:
        inner = text[start:end]
        left, right = len(inner) - len(inner.lstrip()), len(inner) - len(inner.rstrip())
        n_stripped += bool(left or right)
        entities.append({"start": start + left, "end": end - right, "label": label})
    return entities, n_stripped


def _read_entity(entity: Any, text: str, where: str) -> tuple[int, int, str]:
    if not isinstance(entity, Mapping) or not {"start", "end", "label"} <= entity.keys():
        raise DataError(f"{where}: an entity must have start, end and label; found {entity!r}")
    start, end, label = entity["start"], entity["end"], entity["label"]
    if not all(isinstance(position, int) for position in (start, end)) or not 0 <= start <= end <= len(text):
        raise DataError(
            f"{where}: entity from {start!r} to {end!r} in a text of {len(text)} characters; characters count from 0, and end "
            "is the first character after the entity"
        )
    if not isinstance(label, str) or not label.strip():
        raise DataError(
            f"{where}: the label of entity {text[start:end]!r} must be the name of its type; found {label!r}"
        )
    if not text[start:end].strip():
        raise DataError(f"{where}: the {label} from {start} to {end} is empty; an entity has at least one character")
    if entity.get("text", text[start:end]) != text[start:end]:
        raise DataError(
            f"{where}: the text from {start} to {end} is {text[start:end]!r}, but the entity has {entity['text']!r}; count "
            "characters, not bytes or UTF-16 units"
        )
    return start, end, label_name(label)


def entity_spans(entities: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, str]]:
    """Return entities as (start, end, label)."""
    return [(entity["start"], entity["end"], entity["label"]) for entity in entities]
