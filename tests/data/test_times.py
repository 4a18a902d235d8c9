"""`data.time` holds out the newest rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError, RecipeError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Return a function that reads rows with these dates, of which a fifth are test rows and a quarter validation rows."""

    def read(dates: list[Any], **settings: Any) -> LoadedData:
        rows = [{"text": f"text {i}", "label": "ab"[i % 2], "written": date} for i, date in enumerate(dates)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        shares = {"validation_fraction": 0.25, "test_fraction": 0.2} | settings
        section = DataSection(**{"train": str(tmp_path / "rows.jsonl"), "time": "written", **shares})
        return load_data(section, TASK, TASK.settings())

    return read


def numbers(data: LoadedData) -> dict[str, list[int]]:
    return {split: [int(row["id"]) for row in rows] for split, rows in data.splits.items()}


def test_the_newest_rows_are_test_rows_and_newer_rows_are_validation_rows(load: Any) -> None:
    dates = [f"2024-01-{day:02d}" for day in range(20, 0, -1)]  # the first row is the newest
    data = load(dates)
    assert numbers(data) == {
        "train": [9, *range(10, 21)],
        "validation": [4, 5, 6, 7, 8],
        "test": [1, 2, 3],
    }
    assert data.held_out == ("validation", "test")
    assert "test: 3 of 20 training rows, by 'written' from 2024-01-18 00:00:00 to 2024-01-20 00:00:00" in data.notes
    assert numbers(load(dates, test_fraction=None)) == {"train": list(range(6, 21)), "validation": [1, 2, 3, 4, 5]}


def test_rows_with_the_same_date_stay_together_and_other_forms_of_dates_are_read(load: Any) -> None:
    dates = ["2024-01-01"] * 11 + ["2024-02-01 10:00"] * 6 + ["2024-02-01T10:00:30.5"] * 3
    assert numbers(load(dates)) == {
        "train": list(range(1, 12)),
        "validation": list(range(12, 18)),
        "test": [18, 19, 20],
    }
    zones = ["2024-01-01T23:30:00-05:00", "2024-01-02T00:30:00Z", "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:01Z"]
    assert numbers(load(zones, test_fraction=None))["validation"] == [1]


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (
            ["2024-01-01", "03/04/2024", "yesterday"],
            r"row 2: column 'written' \(data\.time\) is '03/04/2024'.*2 of 3 rows",
        ),
        (["2024-01-01", "2024-02-30"], "row 2: column 'written'.*ISO 8601"),
        (["2024-01-01", None], "row 2: column 'written'.*is None"),
        (["2024-01-01", 1704067200], "is 1704067200"),
        (["2024-01-01", "2024-01-01T00:00:00Z"], "with and without a time zone.*row 1 and row 2"),
        (["2024-01-01"] * 8, "different dates: 1"),
    ],
)
def test_dates_that_cannot_be_ordered_are_refused(load: Any, dates: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(dates)


def test_wrong_settings(load: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'writen'.*Did you mean 'written'"):
        load(["2024-01-01", "2024-01-02"], time="writen")
    for data, message in (
        ({"group": "text", "validation_fraction": 0.1}, "time and group exclude each other"),
        ({"validation": "other.jsonl"}, "time requires rows to hold out"),
    ):
        values = {"task": "text_classification", "model": {"name": "any"}}
        with pytest.raises(RecipeError, match=message):
            load_values(
                "x", {**values, "data": {"train": "rows.jsonl", "time": "written", **data}}, find_tasks(), "test"
            )
