"""spaCy's training tuples in JSON."""

import json

import pytest

from ft_toolkit.data.local_files import read_file, read_table

PAIRS = [["Anna left", {"entities": [[0, 4, "PER"]]}], ["x", {"entities": []}]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(PAIRS)),
        ("a.jsonl", "\n".join(map(json.dumps, PAIRS))),
        ("a.json", json.dumps({"classes": ["PER"], "annotations": [*PAIRS, None]})),
    ],
    ids=["list", "lines", "annotation page"],
)
def test_entities(write_file, name, content):
    table = read_table(write_file(name, content))
    assert [row["entities"] for row in table.rows] == [[{"start": 0, "end": 4, "label": "PER"}], []]
    assert table.notes == ["read as training tuples of spaCy"]


def test_categories_are_labels(write_file):
    pairs = [["x", {"cats": {"POS": 1, "NEG": 0}}], ["y", {"cats": {"POS": 0.0, "NEG": 1.0}}]]
    assert [row["label"] for row in read_file(write_file("a.json", json.dumps(pairs)))] == ["POS", "NEG"]


def test_an_invalid_entity_is_refused_with_its_number(write_file, error_of):
    message = error_of(write_file("a.json", json.dumps([PAIRS[0], ["x", {"entities": [[0, "PER"]]}]])))
    assert message.startswith("a.json: text 2: entities must be [start, end, label]")
