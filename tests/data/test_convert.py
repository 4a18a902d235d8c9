"""Conversion to JSON lines, for every format that a test can write in a line."""

import json
from pathlib import Path

import pytest

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.convert import convert
from ft_toolkit.data.local_files import read_file
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()
LABEL_STUDIO = Path(__file__).parent / "fixtures" / "label_studio" / "json.json"


@pytest.mark.parametrize(
    ("name", "content", "task", "expected"),
    [
        ("a.csv", "text;label\nx;a\n", None, {"text": "x", "label": "a"}),
        ("a.csv", "text,labels,n\nx,a,1\n", None, {"text": "x", "n": "1", "label": "a"}),
        (
            "a.csv",
            "id,text,labels,n\nk,x,a,1\n",
            "text_classification",
            {"id": "k", "text": "x", "label": "a", "n": "1"},
        ),
        ("a.txt", "__label__a x\n", "text_classification", {"text": "x", "label": "a"}),
        ("a.jsonl", '{"text": "Ab c", "label": [[0, 2, "P"]]}', "ner", {"text": "Ab c", "entities": [(0, 2, "P")]}),
        ("a.txt", "Ab B-P\nc O\n", "ner", {"tokens": ["Ab", "c"], "text": "Ab c", "entities": [(0, 2, "P")]}),
    ],
)
def test_rows_get_our_names_and_forms(write_file, tmp_path, name, content, task, expected):
    convert(write_file(name, content), tmp_path / "out.jsonl", task=TASKS.get(task), columns={})
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    if "entities" in expected:
        row["entities"] = [tuple(entity[key] for key in ("start", "end", "label")) for entity in row["entities"]]
    assert row == expected


def test_a_real_export_is_converted_to_rows_that_are_read_without_notes(tmp_path):
    converted = convert(LABEL_STUDIO, tmp_path / "out.jsonl", task=TASKS["ner"], columns={})
    rows = read_file(tmp_path / "out.jsonl")
    assert rows == converted.rows and "read as an export of Label Studio (JSON)" in converted.notes
    assert [[row["text"][e["start"] : e["end"]] for e in row["entities"]] for row in rows] == [
        ["Anna", "Rome"],
        [],
        ["Omar"],
    ]
    again = convert(tmp_path / "out.jsonl", tmp_path / "again.jsonl", task=TASKS["ner"], columns={})
    assert (again.notes, again.rows) == ([], rows)


def test_columns_reading_and_rows_without_a_label(tmp_path, write_file):
    path = write_file("a.jsonl", '{"review": "x", "stars": 1}\n{"review": "y", "stars": null}\n')
    columns = {"text": "review", "label": "stars"}
    task, reading = TASKS["text_classification"], Reading(label_names=["bad", "good"])
    converted = convert(path, tmp_path / "out.jsonl", task=task, columns=columns, reading=reading)
    assert converted.rows == [{"text": "x", "label": "good"}, {"text": "y"}]
    assert converted.notes == ["1 of 2 rows have no label"]


def test_refusals(tmp_path, write_file):
    path = write_file("a.csv", "text,label\nx,a\n")
    for target, message in (("out.csv", "must be a .jsonl file"), ("no/out.jsonl", "folder .* not found")):
        with pytest.raises(UsageError, match=message):
            convert(path, tmp_path / target, task=None, columns={})
    existing = write_file("out.jsonl", "")
    with pytest.raises(UsageError, match="already exists"):
        convert(path, existing, task=None, columns={})
    with pytest.raises(UsageError, match="--column requires --task"):
        convert(path, tmp_path / "new.jsonl", task=None, columns={"text": "x"})
    with pytest.raises(DataError, match=r"a\.csv: no column 'question'"):
        convert(path, tmp_path / "new.jsonl", task=TASKS["question_answering"], columns={})
    half = write_file("b.jsonl", '{"text": "\\ud800"}\n')
    with pytest.raises(UsageError, match="half a character"):
        convert(half, tmp_path / "new.jsonl", task=None, columns={})
    assert not (tmp_path / "new.jsonl").exists()
