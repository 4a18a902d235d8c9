"""Offsets that cut words are noticed, with the likely cause."""

import pytest

from ft_toolkit.core.counted_notes import shown
from ft_toolkit.tasks.text.entities import read_entity_rows

RULE = "`start` and `end` count characters from 0, and `end` is the first character after the entity"


def row(text, *names, start=len, end=len):
    """Return a row whose offsets are the lengths, in some unit, of the text before an entity and up to its end."""
    spans = [(text.index(name), text.index(name) + len(name)) for name in names]
    entities = [{"start": start(text[:a]), "end": end(text[:b]), "label": "X"} for a, b in spans]
    return {"text": text, "entities": entities}


def utf16(text):
    return len(text.encode("utf-16-le")) // 2


def utf8(text):
    return len(text.encode())


NAMES = [("Anna left Oslo", "Anna", "Oslo"), ("Omar left Graz", "Omar", "Graz"), ("Mei left Porto", "Mei", "Porto")]


def notes_of(*rows):
    return shown(read_entity_rows(rows, "f.jsonl")[1])


def test_right_offsets_give_no_note():
    assert notes_of(*(row(*each) for each in NAMES)) == []
    assert (
        notes_of(
            row("我爱北京天安门", "北京"),
            row("e-mail to Ann-Marie's", "Ann-Marie"),
            row("Zoë! Ab, \U0001f600 c", "Zoë"),
        )
        == []
    )


def test_inclusive_ends():
    (note,) = notes_of(*(row(*each, end=lambda text: len(text) - 1) for each in NAMES))
    assert note == (
        "6 of 6 entities start or end inside a word (such as 'Ann' in 'Anna', 'Osl' in 'Oslo'). An `end` that is the last "
        f"character of the entity explains 6 of them: {RULE}"
    )


@pytest.mark.parametrize(("unit", "cause"), [(utf16, "Offsets in UTF-16 units"), (utf8, "Offsets in bytes")])
def test_offsets_in_other_units(unit, cause):
    emoji = [row(f"\U0001f600 {text} .....", *names, start=unit, end=unit) for text, *names in NAMES]
    (note,) = [note for note in notes_of(*emoji) if "inside a word" in note]
    assert f"{cause} explains" in note


def test_a_few_unexplained_entities_are_a_question():
    (note,) = notes_of(*(row(*each) for each in NAMES), row("pre-war Germanspeaking Graz", "German"))
    assert note == (
        "1 of 7 entities start or end inside a word (such as 'German' in 'Germanspeaking'). Are the offsets right? "
        f"{RULE}"
    )


def test_words_that_are_given_are_not_checked():
    rows = [{"tokens": ["Ann", "a", "left"], "text": "Anna left", "tags": ["B-X", "O", "O"]}]
    assert notes_of(*rows) == []
