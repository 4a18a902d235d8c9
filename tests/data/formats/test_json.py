"""JSON documents, with and without the nesting of SQuAD."""

import json

import pytest

from ft_toolkit.data.local_files import read_file

ROWS = [{"text": "ein Satz", "label": "a"}, {"text": "two", "label": ["b"]}]


def test_a_list_or_an_object_with_data(write_file):
    assert read_file(write_file("rows.json", json.dumps(ROWS))) == ROWS
    assert read_file(write_file("under.json", json.dumps({"version": 1, "data": ROWS}))) == ROWS


def squad(answers):
    """Return two questions on one paragraph, in SQuAD's nesting; `answers` are keys of the second question."""
    first = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    second = {"question": "Where?", **answers}
    return {
        "version": "v2.0",
        "data": [{"title": "T", "paragraphs": [{"context": "Ada slept.", "qas": [first, second]}]}],
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"answers": [], "is_impossible": True, "plausible_answers": [{"text": "Ada"}]}, ([], True)),
        ({"answers": [{"text": "slept", "answer_start": 4}]}, ([{"text": "slept", "answer_start": 4}], False)),
        ({"answers": []}, ([], True)),
        ({}, (None, None)),
    ],
    ids=["v2", "v1.1", "empty", "without answers"],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["version and data", "list"])
def test_squad_files_give_a_row_per_question(write_file, answers, expected, wrapped):
    document = squad(answers)
    rows = read_file(write_file("a.json", json.dumps(document if wrapped else document["data"])))
    common = {"title": "T", "context": "Ada slept."}
    assert rows == [
        {
            "id": "q1",
            **common,
            "question": "Who?",
            "answers": [{"text": "Ada", "answer_start": 0}],
            "is_impossible": False,
        },
        {"id": "2", **common, "question": "Where?", "answers": expected[0], "is_impossible": expected[1]},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n{"text": "x"},\n{"text": }]', "a.json:3: not valid JSON: Expecting value"),
        ('"text"', "a.json: the file must hold a list of objects, or an object with such a list under 'data'"),
        ('{"rows": []}', "a.json: the file must hold a list of objects"),
        ("[1, 2]", "a.json: the file must hold a list of objects"),
        ("[]", "a.json: the file has no rows"),
        ('[{"paragraphs": 1}]', "a.json: data[0].paragraphs: must be a list of objects"),
        (
            '{"data": [{"paragraphs": []}, {"paragraphs": [{"text": "x", "qas": []}]}]}',
            "a.json: data[1].paragraphs[0]: a paragraph needs 'context' and 'qas'; found text, qas",
        ),
        (
            '[{"paragraphs": [{"context": "x", "qas": ["y"]}]}]',
            "a.json: data[0].paragraphs[0].qas: must be a list of objects",
        ),
        (
            '[{"paragraphs": [{"context": "x", "qas": [{"id": "q"}]}]}]',
            "a.json: data[0].paragraphs[0].qas[0]: 'question' is missing; found id",
        ),
        ('[{"paragraphs": []}]', "a.json: the file has no rows"),
    ],
)
def test_invalid_files_are_refused_with_the_location(write_file, error_of, content, message):
    assert error_of(write_file("a.json", content)).startswith(message)
