"""Held-out test rows: the validation rows stay the same, labels keep their shares, groups stay whole."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

ROWS = [{"text": f"text {i}", "label": "abbb"[i % 4], "user": f"u{i // 5}"} for i in range(400)]


def load(folder: Path, task: str = "text_classification", **settings: Any) -> LoadedData:
    """Return the rows of ROWS with these settings of the data section."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    chosen = find_tasks()[task]
    return load_data(DataSection(train=str(path), validation_fraction=0.1, **settings), chosen, chosen.settings())


@pytest.mark.parametrize("task", ["text_classification", "language_modelling"])
def test_validation_rows_do_not_depend_on_test_rows(tmp_path: Path, task: str) -> None:
    without, with_test = load(tmp_path, task), load(tmp_path, task, test_fraction=0.2)
    assert without.splits["validation"] == with_test.splits["validation"]
    parts = {name: {row["text"] for row in rows} for name, rows in with_test.splits.items()}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 400
    assert len(parts["test"]) == pytest.approx(80, abs=25)
    assert load(tmp_path, task, test_fraction=0.2).fingerprint == with_test.fingerprint
    assert any(note.startswith(f"test: {len(parts['test'])} of") for note in with_test.notes)
    assert with_test.origin["test"].startswith("held out of")


def test_labels_keep_their_shares_and_groups_stay_whole(tmp_path: Path) -> None:
    counts = Counter(row["label"] for row in load(tmp_path, test_fraction=0.2).splits["test"])
    assert counts["a"] / counts.total() == pytest.approx(0.25, abs=0.02)
    grouped = load(tmp_path, test_fraction=0.2, group="user")
    users = {name: {int(row["text"].split()[1]) // 5 for row in rows} for name, rows in grouped.splits.items()}
    assert not users["train"] & users["test"] and not users["validation"] & users["test"] and users["test"]
    assert grouped.groups["test"].count(grouped.splits["test"]) == len(users["test"])


def test_conflicts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test and test_fraction exclude each other"):
        DataSection(train="a", test="b", test_fraction=0.1)
    with pytest.raises(ValueError, match="their sum must be below 1"):
        DataSection(train="a", validation_fraction=0.6, test_fraction=0.4)
    task = find_tasks()["text_classification"]
    with pytest.raises(DataError, match=r"data\.test_fraction is set, but there are test rows"):
        load_data(DataSection(card="support_inbox", test_fraction=0.1), task, task.settings())
