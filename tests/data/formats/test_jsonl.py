"""JSON lines."""

import json

import pytest

from ft_toolkit.data.local_files import read_file


def test_blank_lines_and_line_separators_inside_texts(write_file):
    rows = [{"text": "ein Satz"}, {"text": "a\u2028b\x85c", "label": ["x", "y"]}]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert read_file(write_file("rows.jsonl", text + "\n")) == rows


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.csv", "a.ndjson", "a"])
def test_json_lines_are_read_under_any_suffix(write_file, name):
    rows = [{"text": "good, cup", "label": "pos"}, {"text": "bad", "label": "neg"}]
    assert read_file(write_file(name, "".join(json.dumps(row) + "\n" for row in rows))) == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "x"}\n\n{"text": "y"\n{"text": "z"}\n', "a.jsonl:3: not valid JSON"),
        ('{"text": "x"}\n["y"]\n', "a.jsonl:2: found list; every line must hold one JSON object"),
        ("\n\n", "a.jsonl: the file has no rows"),
        (
            "{'text': None}\n",
            "a.jsonl:1: not valid JSON: Expecting property name enclosed in double quotes; it looks like a printed",
        ),
    ],
)
def test_invalid_files_are_refused_with_the_line(write_file, error_of, content, message):
    assert error_of(write_file("a.jsonl", content)).startswith(message)
