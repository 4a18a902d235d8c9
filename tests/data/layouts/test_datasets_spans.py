"""Spans in an object of lists."""

import json

import pytest

from ft_toolkit.data.local_files import read_file


@pytest.mark.parametrize("column", ["entities", "spans"])
def test_objects_of_lists_become_lists_of_objects(write_file, column):
    rows = [
        {"text": "Anna left", column: {"start": [0], "end": [4], "label": ["PER"]}},
        {"text": "x", column: {"start": [], "end": [], "label": []}},
    ]
    read = read_file(write_file("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert [row["entities"] for row in read] == [[{"start": 0, "end": 4, "label": "PER"}], []]


def test_answers_of_questions_are_unchanged(write_file):
    rows = [{"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": [0]}}]
    assert read_file(write_file("a.json", json.dumps(rows))) == rows
