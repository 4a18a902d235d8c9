"""Reference answers in all forms; wrong offsets are corrected if the answer is unique, otherwise the row is refused."""

import re
import unicodedata

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.text.answers import Answer, find_answers

CONTEXT = "Ada met Ben in Graz. Ben left on Monday; Ada stayed."


@pytest.mark.parametrize(
    "value",
    [
        {"text": ["Graz", "Monday"], "answer_start": [15, 33]},
        {"text": ("Graz", "Monday"), "start": (15, 33)},
        [{"text": "Graz", "answer_start": 15}, {"text": "Monday", "answer_start": 33}],
        [{"text": "Graz", "start": 15}, {"text": "Monday"}],
        ["Graz", "Monday"],
        '{"text": ["Graz", "Monday"], "answer_start": [15, 33]}',
        '[{"text": "Graz", "start": 15}, "Monday"]',
        [{"text": "Graz", "start": None}, {"text": "Monday", "start": 33, "answer_start": None}],
    ],
)
def test_forms_of_several_answers(value):
    assert find_answers(value, CONTEXT, "row 1").answers == (Answer("Graz", 15), Answer("Monday", 33))
    assert find_answers(value, CONTEXT, "row 1").repaired == ()


@pytest.mark.parametrize("value", ["Graz", {"text": "Graz", "start": 15}, {"text": "Graz"}, ["Graz"]])
def test_forms_of_one_answer(value):
    assert find_answers(value, CONTEXT, "row 1").answers == (Answer("Graz", 15),)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        "[]",
        [],
        {},
        {"text": []},
        {"text": [], "answer_start": []},
        {"text": ""},
        {"text": None, "answer_start": None},
        {"text": [""], "answer_start": [0]},
        [{"text": "", "answer_start": -1}],
    ],
)
def test_forms_of_no_answer(value):
    assert find_answers(value, CONTEXT, "row 1").answers == ()


def test_an_answer_in_brackets_is_an_answer():
    assert find_answers("[1]", "see [1] for more", "row 1").answers == (Answer("[1]", 4),)
    assert find_answers("{x", "a set {x, y}", "row 1").answers == (Answer("{x", 6),)


@pytest.mark.parametrize("start", [14, 0, 500, -1])
def test_a_wrong_offset_is_corrected_if_the_answer_occurs_once(start):
    found = find_answers({"text": "Graz", "answer_start": start}, CONTEXT, "a.json: row 3 (id q3)")
    assert found.answers == (Answer("Graz", 15),)
    assert [repair.text for repair in found.repaired] == [
        f"a.json: row 3 (id q3): the answer 'Graz' is at character 15, not at character {start} as given"
    ]


@pytest.mark.parametrize(
    ("context", "text", "start", "position", "cause"),
    [
        ("Pure Land is a school. The Pure Land texts", "Pure Land", 28, 27, "off by 1 character"),
        ("a Ben or a Ben", "Ben", 14, 11, "off by 3 characters"),
        ("\U0001f600\U0001f600 Porto, then\n\nPorto", "Porto", 18, 16, "in UTF-16 units"),
        ("\U0001f600" * 9 + " Porto or Porto", "Porto", 28, 19, "in UTF-16 units"),
        ("ÄÖÜäöü Graz or Graz", "Graz", 21, 15, "in bytes"),
        ("1.\r\n" * 9 + "Graz or Graz", "Graz", 27, 36, "with line ends of one character"),
        ("1.\n" * 9 + "Graz or Graz", "Graz", 44, 35, "with line ends of two characters"),
        ("\u01d6" * 9 + " Graz Graz", "Graz", 28, 10, "in another Unicode form (NFD)"),
    ],
)
def test_the_occurrence_that_a_wrong_offset_means_is_chosen(context, text, start, position, cause):
    found = find_answers({"text": [text], "answer_start": [start]}, context, "row 1")
    assert found.answers == (Answer(text, position),)
    assert found.repaired[0].cause == cause


def test_an_offset_between_two_occurrences_or_with_two_meanings_is_refused():
    with pytest.raises(DataError, match="occurs 2 times"):
        find_answers({"text": "Ben", "start": 2}, "Ben Ben", "row 1")
    with pytest.raises(DataError, match="occurs 3 times"):  # byte 12 is the first one, character 11 the second
        find_answers({"text": "Graz", "start": 12}, "ä" * 6 + "Graz Graz Graz", "row 1")


def test_an_answer_in_another_unicode_form_gets_the_form_of_the_context():
    for name, other in (("NFC", "NFD"), ("NFD", "NFC")):
        context = unicodedata.normalize(name, "fondé par André Noël en 1911")
        answer = unicodedata.normalize(other, "André Noël")
        found = find_answers({"text": answer, "answer_start": 10}, context, "row 1").answers[0]
        assert context.startswith(found.text, found.start) and unicodedata.normalize(other, found.text) == answer


@pytest.mark.parametrize("start", [13.0, [13.0]])
def test_a_whole_float_is_an_offset_and_nan_is_none(start):
    value = {"text": ["Lyon"] if isinstance(start, list) else "Lyon", "answer_start": start}
    assert find_answers(value, "Ada moved to Lyon or Lyon", "row 1").answers == (Answer("Lyon", 13),)
    assert find_answers({"text": "Graz", "start": float("nan")}, CONTEXT, "row 1").answers == (Answer("Graz", 15),)


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("{'text': ['Graz'], 'answer_start': [15]}", "Python"),
        ("{'text': array(['Graz'], dtype=object), 'answer_start': array([15], dtype=int32)}", "numpy"),
        ("['Graz']", "Python"),
        ('{"text": "Graz", "start": 15.0}', "JSON"),
    ],
)
def test_cells_of_text_files(cell, form):
    found = find_answers(cell, CONTEXT, "row 1")
    assert found.answers == (Answer("Graz", 15),) and found.cell.form == form


def test_offsets_in_bytes_are_corrected():
    context = "Zürich → Genève, 4 heures"
    start = len(context[: context.index("4")].encode())
    assert find_answers({"text": "4 heures", "start": start}, context, "row 1").answers == (Answer("4 heures", 17),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Linz", "row 3: the answer 'Linz' occurs 0 times in the context; correct the row"),
        ("Ben", "row 3: the answer 'Ben' occurs 2 times in the context; correct the row, or set answer_start"),
        (
            {"text": "Ben", "start": 15},
            "row 3: the answer 'Ben' occurs 2 times in the context, not at character 15 as given",
        ),
        (
            {"text": "graz", "start": 15},
            "row 3: the answer 'graz' occurs 0 times in the context, not at character 15 as given, where it differs in case",
        ),
        ("met  Ben", "row 3: the answer 'met  Ben' occurs 0 times in the context, where it differs in white space"),
        (
            "[{'text': Graz}]",
            "row 3: the answer \"[{'text': Graz}]\" occurs 0 times in the context. It looks like a list",
        ),
        ({"text": "Graz", "start": 15.5}, "row 3: answer_start of 'Graz' must be an integer; found 15.5"),
        ({"text": ["Graz", "Ben"], "answer_start": [15]}, "row 3: 2 answers require 2 offsets"),
        ({"text": ["Graz"], "answer_start": 15}, "row 3: 1 answers require 1 offsets"),
        ({"text": ["Graz"], "answer_start": ["15"]}, "row 3: answer_start of 'Graz' must be an integer; found '15'"),
        ({"text": "Graz", "start": True}, "row 3: answer_start of 'Graz' must be an integer; found True"),
        ({"text": [7], "answer_start": [1]}, "row 3: answer 7 is not a text"),
        ({"answer": "Graz"}, "row 3: answer {'answer': 'Graz'} without 'text'; allowed: a text that"),
        (12, "row 3: invalid answers 12; allowed: a text that occurs in the context once"),
        ([1.5], "row 3: invalid answers 1.5; allowed"),
        ("x" * 100, f"row 3: the answer '{'x' * 57}...' occurs 0 times"),
    ],
)
def test_refusals(value, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        find_answers(value, CONTEXT, "row 3")
