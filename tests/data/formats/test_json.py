"""JSON documents."""

import json

import pytest

from ft_toolkit.data.local_files import read_file

ROWS = [{"text": "ein Satz", "label": "a"}, {"text": "two", "label": ["b"]}]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_read_under_any_suffix(write_file, name, indent):
    assert read_file(write_file(name, json.dumps(ROWS, indent=indent))) == ROWS


def test_a_list_or_an_object_with_data(write_file):
    assert read_file(write_file("rows.json", json.dumps(ROWS))) == ROWS
    assert read_file(write_file("under.json", json.dumps({"version": 1, "data": ROWS}))) == ROWS


@pytest.mark.parametrize("text", ["[1]", "[]", '["a", "b"]', "[x]", "{}", "{x}"])
def test_a_text_in_brackets_is_a_text(write_file, text):
    assert read_file(write_file("a.txt", f"{text}\n")) == [{"text": text}]


def test_lists_of_splits_are_refused_with_the_remedy(write_file, error_of):
    message = error_of(write_file("a.json", json.dumps({"train": ROWS, "test": ROWS[:1]})))
    assert message.endswith("; it holds the lists train, test: write each list to its own file")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
@pytest.mark.parametrize("content", ['{"a": 1}{"a": 2}', '{\n "a": 1\n}\n{\n "a": 2\n}\n', '{"a": 1} {"a": 2}'])
def test_objects_that_follow_each_other_are_rows(write_file, name, content):
    assert read_file(write_file(name, content)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n{"text": "x"},\n{"text": }]', "a.json:3: not valid JSON: Expecting value"),
        ('"text"', "a.json: the file must hold a list of objects, or an object with such a list under 'data'"),
        ('{"rows": []}', "a.json: the file must hold a list of objects"),
        ("[1, 2]", "a.json: the file must hold a list of objects"),
        ("[]", "a.json: the file has no rows"),
        (" \n", "a.json: the file has no rows"),
        ('{"a": 1}{"a": ', "a.json:1: not valid JSON: Extra data"),
        ('{"a": 1}[2]', "a.json:1: not valid JSON: Extra data"),
        ('[{"paragraphs": []}]', "a.json: the file has no rows"),
    ],
)
def test_invalid_files_are_refused_with_the_location(write_file, error_of, content, message):
    assert error_of(write_file("a.json", content)).startswith(message)
