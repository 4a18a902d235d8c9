"""Label Studio's JSON export, written by its converter (see the README of the folder)."""

import json
from pathlib import Path

import pytest

from ft_toolkit.data.local_files import read_table

FOLDER = Path(__file__).parents[1] / "fixtures" / "label_studio"
ENTITIES = [["Anna", "Rome"], [], ["Omar"]]


@pytest.mark.parametrize("name", ["json.json", "json_min.json", "csv.csv", "tsv.csv"])
def test_every_export_gives_the_same_entities_and_labels(name):
    table = read_table(FOLDER / name)
    texts = [[row["text"][e["start"] : e["end"]] for e in row["entities"]] for row in table.rows]
    assert texts == ENTITIES and [row["label"] for row in table.rows] == ["good", "bad", "good"]
    assert [e["label"] for e in table.rows[0]["entities"]] == ["PER", "LOC"]
    assert any("UTF-16" in note for note in table.notes) and any("Label Studio" in note for note in table.notes)


def test_the_conll_export():
    rows = read_table(FOLDER / "conll.conll").rows
    assert [row["tokens"][0] for row in rows] == ["Anna", "nothing", "😀"]
    assert rows[0] == {"tokens": ["Anna", "left", "Rome"], "tags": ["B-PER", "O", "B-LOC"]}


def test_cancelled_and_further_annotations(write_file):
    def task(*moods, **more):
        results = [[{"value": {"choices": [mood]}, "from_name": "mood", "type": "choices"}] for mood in moods]
        return {"data": {"body": "x"}, "annotations": [{"result": result, **more} for result in results]}

    tasks = [task("good", "bad"), task("bad", was_cancelled=True), task()]
    table = read_table(write_file("a.json", json.dumps(tasks)))
    assert [row["label"] for row in table.rows] == ["good", None, None]
    assert [row["text"] for row in table.rows] == ["x", "x", "x"]
    assert "1 tasks have several annotations; the ground truth, else the first one, is used" in table.notes
