"""Rows from DataFrames, Datasets and lists of dicts."""

import datetime
import decimal
import json
import subprocess
import sys

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.in_memory import plain_rows, rows_of


def read(data):
    rows = plain_rows(rows_of(data, "train"), "train")
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    return rows


def test_a_frame_gives_a_row_per_record_and_its_index_is_ignored():
    frame = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"], "n": [1, 2]}, index=[7, 7])
    assert read(frame) == [{"text": "a", "label": "x", "n": 1}, {"text": "b", "label": "y", "n": 2}]


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT], ids=str)
def test_missing_values_of_every_kind_become_none(missing):
    frame = pd.DataFrame(
        {"text": pd.Series(["a", "b"], dtype=object), "label": pd.Series(["x", missing], dtype=object)}
    )
    expected = [{"text": "a", "label": "x"}, {"text": "b", "label": None}]
    assert read(frame) == expected
    assert read([{"text": "a", "label": "x"}, {"text": "b", "label": missing}]) == expected


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pd.Series([1, None, 3]), [1, None, 3]),
        (pd.Series([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]),
        (pd.Series([1.5, None]), [1.5, None]),
        (pd.Series([None, None], dtype="float64"), [None, None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series([1.0, None], dtype="Float64"), [1.0, None]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (pd.Series(["a", None, "b"], dtype="category"), ["a", None, "b"]),
        (pd.Series(pd.to_datetime(["2024-05-01", None])), ["2024-05-01T00:00:00", None]),
        (pd.Series([["a", "b"], np.array([1, 2])]), [["a", "b"], [1, 2]]),
    ],
    ids=["ints with a gap", "floats", "float with a gap", "all missing", "Int64", "Float64", "boolean", "string",
         "category", "dates", "lists"],
)  # fmt: skip
def test_columns_of_every_type(series, expected):
    values = [row["x"] for row in read(pd.DataFrame({"x": series}))]
    assert values == expected and [type(value) for value in values] == [type(value) for value in expected]


def test_numpy_values_and_nested_values_become_python_values():
    row = {
        "a": np.int64(1), "b": np.float32(0.5), "c": np.bool_(True), "d": np.str_("x"), "e": (np.int8(1), None),
        "f": {"text": np.array(["y"])}, "g": datetime.date(2024, 5, 1), "h": decimal.Decimal("1.50"),
        "i": np.datetime64("2024-05-01"), "j": np.datetime64("NaT"),
    }  # fmt: skip
    assert read([row]) == [
        {
            "a": 1, "b": 0.5, "c": True, "d": "x", "e": [1, None], "f": {"text": ["y"]}, "g": "2024-05-01", "h": "1.50",
            "i": "2024-05-01", "j": None,
        }
    ]  # fmt: skip


def test_class_labels_of_a_dataset_become_names_whatever_its_format():
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-X"])),
        }
    )
    rows = [{"text": "a", "label": 1, "tags": [0, 1]}, {"text": "b", "label": None, "tags": []}]
    dataset = datasets.Dataset.from_list(rows, features=features)
    expected = [{"text": "a", "label": "yes", "tags": ["O", "B-X"]}, {"text": "b", "label": None, "tags": []}]
    assert read(dataset) == expected
    assert read(dataset.with_format("numpy")) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "train: found None; allowed: a pandas DataFrame, a datasets.Dataset, a list of dicts, or the path"),
        (b"x", "train: found bytes; allowed"),
        (3, "train: found int; allowed"),
        ({"text": ["a"]}, "train: found dict; .* pass pandas.DataFrame\\(data\\); for one row, pass \\[data\\]"),
        ((row for row in [{"text": "a"}]), "train: found generator; .* Pass list\\(data\\)"),
        (["a"], "train: row 1 is str; each row must be a dict"),
        ([{"text": "a"}, None], "train: row 2 is None; each row must be a dict"),
        (
            pd.DataFrame([["a", "x"]]),
            r"train: column names must be text; found \[0, 1\]. Set them with DataFrame.columns",
        ),
        (pd.DataFrame([["a", "x"]], columns=["text", "text"]), "train: duplicate column names: text"),
        (datasets.DatasetDict(test=datasets.Dataset.from_list([{"a": 1}])), "found a DatasetDict; .* data\\['test'\\]"),
        (
            datasets.Dataset.from_list([{"a": 1}]).to_iterable_dataset(),
            "found datasets.IterableDataset; .* Pass datasets.Dataset.from_list",
        ),
        (pyarrow.table({"text": ["a"]}), "train: found pyarrow.Table; .* Pass data.to_pandas"),
        ([{1: "a"}], "train: row 1: column names must be text; found 1"),
        ([{"text": b"a"}], "train: row 1: column 'text' holds bytes; allowed: text, numbers"),
        ([{"text": "a"}, {"x": float("inf")}], "train: row 2: column 'x' is infinite"),
        ([{"x": {1, 2}}], "train: row 1: column 'x' holds set; allowed"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)
def test_other_objects_are_refused(data, message):
    with pytest.raises(UsageError, match=message):
        read(data)


def test_pandas_and_datasets_are_not_imported():
    code = (
        "import sys; from ft_toolkit.data.in_memory import plain_rows, rows_of\n"
        "plain_rows(rows_of([{'text': 'a', 'x': float('nan')}], 'train'), 'train')\n"
        "print(sorted({'pandas', 'datasets', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
