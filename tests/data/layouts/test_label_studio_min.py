"""Label Studio's exports with a row per annotation; see also test_label_studio.py."""

import json

from ft_toolkit.data.local_files import read_table


def test_spans_without_the_columns_of_an_annotation(write_file):
    span = {"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}
    table = read_table(write_file("a.json", json.dumps([{"id": 1, "text": "Anna left", "label": [span]}])))
    assert (
        table.rows[0]["entities"] == table.rows[0]["label"] == [{"start": 0, "end": 4, "label": "PER", "text": "Anna"}]
    )


def test_several_choices_are_a_list_and_a_text_may_be_annotated_twice(write_file):
    rows = [
        {"id": 1, "text": "x", "mood": {"choices": ["a", "b"]}, "annotator": 1, "annotation_id": 1},
        {"id": 1, "text": "x", "mood": "a", "annotator": 2, "annotation_id": 2},
    ]
    table = read_table(write_file("a.json", json.dumps(rows)))
    assert [row["label"] for row in table.rows] == [["a", "b"], "a"]
    assert any("1 rows annotate a text that another row" in note for note in table.notes)


def test_a_text_that_begins_like_nested_json_is_a_text(write_file):
    text = "[" * 100_000
    assert read_table(write_file("a.csv", f"text,label\n{text},a\n")).rows == [{"text": text, "label": "a"}]
