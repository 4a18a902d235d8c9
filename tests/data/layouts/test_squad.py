"""SQuAD's articles, paragraphs and questions."""

import json

import pytest

from ft_toolkit.data.local_files import read_file


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


def test_a_bare_list_of_paragraphs(write_file):
    """As simpletransformers writes its training data."""
    paragraphs = squad({"answers": []})["data"][0]["paragraphs"]
    rows = read_file(write_file("a.json", json.dumps(paragraphs)))
    assert [(row["id"], row["context"], row["is_impossible"]) for row in rows] == [
        ("q1", "Ada slept.", False),
        ("2", "Ada slept.", True),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
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
    ],
)
def test_invalid_files_are_refused_with_the_location(write_file, error_of, content, message):
    assert error_of(write_file("a.json", content)).startswith(message)
