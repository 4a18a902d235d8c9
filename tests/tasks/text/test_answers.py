"""Reference answers in all forms; wrong offsets are corrected if the answer is unique, otherwise the row is refused."""

import re

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
    assert found.repaired == (
        f"a.json: row 3 (id q3): the answer 'Graz' is at character 15, not at character {start} as given",
    )


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
            {"text": "Ben", "start": 9},
            "row 3: the answer 'Ben' occurs 2 times in the context, not at character 9 as given",
        ),
        ({"text": "graz", "start": 15}, "row 3: the answer 'graz' occurs 0 times"),
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
