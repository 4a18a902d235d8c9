"""Values of data files that JSON cannot hold."""

import datetime
import decimal
import json
import math
import uuid
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.json_values import is_stored, json_value
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
MOMENT = datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)
UUID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("value", "kept", "of_task"),
    [
        (datetime.date(2024, 5, 1), "2024-05-01", "2024-05-01"),
        (MOMENT, "2024-05-01T12:30:00+00:00", "2024-05-01T12:30:00+00:00"),
        (datetime.time(12, 30), "12:30:00", "12:30:00"),
        (datetime.timedelta(hours=1), "1:00:00", "1:00:00"),
        (decimal.Decimal("1.50"), "1.50", "1.50"),
        (UUID, str(UUID), str(UUID)),
        ("München".encode(), "München", "München"),
        (b"\xff\x00", "ff00", b"\xff\x00"),
        (math.inf, "inf", math.inf),
        ([1, datetime.date(2024, 5, 1)], [1, "2024-05-01"], [1, "2024-05-01"]),
        ({"a": (decimal.Decimal(1),)}, {"a": ["1"]}, {"a": ["1"]}),
        (np.float64(0.5), 0.5, 0.5),
        (object, str(object), object),
    ],
)
def test_values_become_text(value: Any, kept: Any, of_task: Any) -> None:
    assert not is_stored(value, is_kept=True)
    assert json_value(value, "x", is_kept=True) == kept
    assert json_value(value, "x", is_kept=False) == of_task
    json.dumps(json_value(value, "x", is_kept=True), allow_nan=False)


@pytest.mark.parametrize("value", ["a", "", 1, -(10**4000), True, None, ["a", "b"], []])
def test_plain_values_stay(value: Any) -> None:
    assert is_stored(value, is_kept=True)
    assert json_value(value, "x", is_kept=True) is value or json_value(value, "x", is_kept=True) == value


def test_nan_is_a_missing_value_in_a_kept_column_and_left_to_the_task_in_its_own() -> None:
    assert json_value(math.nan, "x", is_kept=True) is None
    assert math.isnan(json_value(math.nan, "x", is_kept=False)) and is_stored(math.nan, is_kept=False)


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_cannot_be_written_after_training_is_refused_before_it(is_kept: bool) -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    for value, message in ((deep, "nested more than 100 levels"), (10**5000, "more than 4,000 digits")):
        assert not is_stored(value, is_kept=is_kept)
        with pytest.raises(DataError, match=rf"f\.jsonl: row 3: .*{message}"):
            json_value(value, "f.jsonl: row 3", is_kept=is_kept)


def test_slices_by_date_from_parquet_are_text(tmp_path: Any) -> None:
    """The run failed after training: a date is not JSON serializable."""
    days = [datetime.date(2024, 5, 1 + i % 2) for i in range(4)]
    table = pyarrow.table(
        {
            "text": ["a", "b", "c", "d"],
            "label": ["x", "y", "x", "y"],
            "day": days,
            "at": pyarrow.array([MOMENT] * 4, pyarrow.timestamp("us", "UTC")),
            "price": [decimal.Decimal("1.50")] * 4,
            "raw": [b"\xff"] * 4,
            "share": [0.5, None, math.nan, math.inf],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    section = DataSection(train=str(tmp_path / "t.parquet"), validation=str(tmp_path / "t.parquet"))
    keep = ["day", "at", "price", "raw", "share"]
    rows = load_data(section, TASK, TASK.settings(), keep=keep).splits["train"]
    assert [row["day"] for row in rows] == ["2024-05-01", "2024-05-02"] * 2
    assert {(row["at"], row["price"], row["raw"]) for row in rows} == {("2024-05-01T12:30:00+00:00", "1.50", "ff")}
    assert [row["share"] for row in rows] == [0.5, None, None, "inf"]
    json.dumps(rows, allow_nan=False)
