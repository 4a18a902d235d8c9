"""Rows in an Arrow file, with other rows at some positions."""

from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.data import stored_rows
from ft_toolkit.data.stored_rows import RowFile, StoredRows, change_rows, select_rows, store_rows

ROWS = [{"id": str(i), "text": f"text {i}", "n": i} for i in range(23)]


def other(number: int) -> dict[str, Any]:
    return {**ROWS[number], "text": "changed"}


@pytest.fixture(params=["columns", "whole rows"])
def stored(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredRows:
    """ROWS in a file with batches of five rows."""
    monkeypatch.setattr(stored_rows, "PART", 5)
    if request.param == "columns":
        store_rows(ROWS, tmp_path / "rows.arrow")
    else:
        with RowFile(tmp_path / "rows.arrow") as file:
            for start in range(0, len(ROWS), 5):
                file.write(ROWS[start : start + 5])
    return StoredRows(tmp_path / "rows.arrow")


def test_changed_rows_are_those_of_a_list(stored: StoredRows) -> None:
    changes = {0: other(0), 4: None, 5: other(5), 9: None, 10: None, 22: other(22)}
    expected = change_rows(ROWS, changes)
    changed = change_rows(stored, changes)
    assert isinstance(changed, StoredRows) and len(changed) == len(expected) == 20
    assert list(changed) == expected and [changed[i] for i in range(20)] == expected
    assert list(changed[3:17:4]) == expected[3:17:4]
    assert list(select_rows(changed, [19, 0, 4])) == [expected[i] for i in (19, 0, 4)]
    again = {0: None, 1: other(1), 19: ROWS[22]}
    assert list(change_rows(changed, again)) == change_rows(expected, again)
    assert list(stored) == ROWS  # the rows of the file stay as they are
    assert list(change_rows(stored, {})) == ROWS


def test_changes_of_a_selection_use_its_positions(stored: StoredRows) -> None:
    positions = [20, 3, 11]
    changes = {0: None, 2: other(11)}
    assert list(change_rows(select_rows(stored, positions), changes)) == [ROWS[3], other(11)]
