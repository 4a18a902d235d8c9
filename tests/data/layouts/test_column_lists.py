"""Tables in JSON that are no list of objects."""

import json

import pytest

from ft_toolkit.data.local_files import read_file

ROWS = [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}, {"text": "z", "label": "a"}]


@pytest.mark.parametrize("orient", ["columns", "records", "index", "split", "table"])
def test_what_pandas_writes(tmp_path, orient):
    import pandas

    pandas.DataFrame(ROWS).to_json(tmp_path / "a.json", orient=orient)
    rows = read_file(tmp_path / "a.json")
    assert [{"text": row["text"], "label": row["label"]} for row in rows] == ROWS


def test_what_datasets_writes(tmp_path):
    import datasets

    table = datasets.Dataset.from_list(ROWS)
    (tmp_path / "a.json").write_text(json.dumps(table.to_dict()))
    table.to_json(tmp_path / "b.json")
    assert read_file(tmp_path / "a.json") == read_file(tmp_path / "b.json") == ROWS


def test_the_rows_of_the_data_set_viewer(write_file):
    document = {"features": [], "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]}
    assert read_file(write_file("a.json", json.dumps(document))) == ROWS


@pytest.mark.parametrize(
    "document", [{"text": ["x"], "label": []}, {"a": {"b": 1}}, {"a": 1}, {}, [[1]], {"data": [1]}]
)
def test_other_documents_are_refused(write_file, error_of, document):
    message = error_of(write_file("a.json", json.dumps(document)))
    assert message.startswith("a.json: the file must hold a list of objects")
