"""doccano's exports, written from its documentation."""

import json

import pytest

from ft_toolkit.data.local_files import read_table

ENTITIES = [{"start": 0, "end": 4, "label": "PER"}]


@pytest.mark.parametrize(
    "annotations",
    [
        {"label": [[0, 4, "PER"]]},
        {"labels": [[0, 4, "PER"]], "Comments": []},
        {"entities": [{"id": 7, "label": "PER", "start_offset": 0, "end_offset": 4}], "relations": []},
    ],
)
@pytest.mark.parametrize("text_column", ["text", "data"])
def test_both_forms_of_spans(write_file, annotations, text_column):
    records = [
        {"id": 1, text_column: "Anna left", **annotations},
        {"id": 2, text_column: "x", next(iter(annotations)): []},
    ]
    for name, text in (("a.jsonl", "\n".join(map(json.dumps, records))), ("b.json", json.dumps(records))):
        table = read_table(write_file(name, text))
        assert [row["entities"] for row in table.rows] == [ENTITIES, []]
        assert [row["text"] for row in table.rows] == ["Anna left", "x"]
        assert "read as an export of doccano" in table.notes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([["a"], ["b"], []], ["a", "b", None]), ([["a", "b"], ["b"], []], [["a", "b"], ["b"], []])],
)
def test_labels_of_texts_are_lists_only_where_a_text_has_several(write_file, labels, expected):
    records = [{"id": i, "text": "x", "label": label, "Comments": []} for i, label in enumerate(labels)]
    table = read_table(write_file("a.json", json.dumps(records)))
    assert [row["label"] for row in table.rows] == expected


def test_our_own_entities_are_unchanged_and_need_no_note(write_file):
    table = read_table(write_file("a.json", json.dumps([{"text": "Anna left", "entities": ENTITIES}])))
    assert table.rows == [{"text": "Anna left", "entities": ENTITIES}] and table.notes == []
