"""Folds of a cross-validation: every training row is in one fold, labels keep their shares, and groups stay whole."""

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

ROWS = [{"text": f"text {i}", "label": "abbb"[i % 4], "user": f"u{i // 5 if i < 300 else 99}"} for i in range(402)]
K = 5


def load(
    folder: Path, task: str = "text_classification", rows: list[dict[str, str]] = ROWS, **settings: Any
) -> LoadedData:
    """Return the rows with these settings of the data section."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = find_tasks()[task]
    section = DataSection(**{"train": str(path), "validation_fraction": 0.1, **settings})
    return load_data(section, chosen, chosen.settings())


def texts(data: LoadedData, split: str) -> set[str]:
    return {row["text"] for row in data.splits[split]}


@pytest.mark.parametrize("task", ["text_classification", "language_modelling"])
def test_every_row_is_in_one_fold_and_never_in_training_there(tmp_path: Path, task: str) -> None:
    folds = [load(tmp_path, task, fold=f"{number}/{K}") for number in range(1, K + 1)]
    tested = [row["text"] for fold in folds for row in fold.splits["test"]]
    assert sorted(tested) == sorted(row["text"] for row in ROWS)
    for fold in folds:
        assert not texts(fold, "test") & (texts(fold, "train") | texts(fold, "validation"))
        assert not texts(fold, "train") & texts(fold, "validation")
        assert sum(map(len, fold.splits.values())) == len(ROWS)
        assert len(fold.splits["test"]) in (80, 81)
    assert load(tmp_path, task, fold="2/5").fingerprint == folds[1].fingerprint != folds[0].fingerprint
    assert folds[1].origin["test"] == f"fold 2 of 5 of {folds[1].origin['train']}"
    assert f"test: {len(folds[1].splits['test'])} of 402 training rows, fold 2 of 5" in folds[1].notes


def test_each_fold_has_the_same_share_of_each_label(tmp_path: Path) -> None:
    for number in range(1, K + 1):
        counts = Counter(row["label"] for row in load(tmp_path, fold=f"{number}/{K}").splits["test"])
        assert counts["a"] in (20, 21) and counts["b"] in (60, 61)


def test_equal_numbers_of_two_labels_are_divided_evenly(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(40)]
    for number in (1, 2):
        counts = Counter(row["label"] for row in load(tmp_path, rows=rows, fold=f"{number}/2").splits["test"])
        assert counts == {"a": 10, "b": 10}


def test_groups_and_equal_texts_stay_in_one_fold(tmp_path: Path) -> None:
    folds = [load(tmp_path, fold=f"{number}/{K}", group="user") for number in range(1, K + 1)]
    users = {row["text"]: row["user"] for row in ROWS}
    for fold in folds:
        parts = [{users[text] for text in texts(fold, split)} for split in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert fold.groups["test"].count(fold.splits["test"]) == len(parts[2])
    assert max(len(fold.splits["test"]) for fold in folds) == 102  # the group with 102 rows has a fold of its own
    repeated = [{"text": f"t{i // 4}", "label": "ab"[i % 2]} for i in range(40)]
    fold = load(tmp_path, rows=repeated, fold="1/5")
    assert not texts(fold, "test") & texts(fold, "train") and len(fold.splits["test"]) == 8


def test_the_test_rows_of_the_recipe_are_in_no_fold(tmp_path: Path) -> None:
    unused = texts(load(tmp_path, test_fraction=0.2), "test")
    folds = [load(tmp_path, test_fraction=0.2, fold=f"{number}/{K}") for number in range(1, K + 1)]
    assert not unused & set.union(*(texts(fold, split) for fold in folds for split in fold.splits))
    assert sum(len(fold.splits["test"]) for fold in folds) == len(ROWS) - len(unused)


def test_a_label_that_only_one_fold_has_is_known_in_all_folds(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "rare", "label": "c", "user": "u"}]
    folds = [load(tmp_path, rows=rows, fold=f"{number}/{K}") for number in range(1, K + 1)]
    without = next(fold for fold in folds if "rare" in texts(fold, "test"))
    assert without.label_rows is not None and {row["label"] for row in without.label_rows} == {"a", "b", "c"}
    assert any(
        "all rows with the labels c were held out (data.validation_fraction and data.fold)" in note
        for note in without.notes
    )


def test_too_few_rows_and_wrong_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 different rows are too few for 5 folds; use at most 3 folds"):
        load(tmp_path, rows=[{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(3)], fold="1/5")
    with pytest.raises(DataError, match="2 groups by 'user' are too few for 3 folds"):
        rows = [{"text": f"t{i}", "label": "ab"[i % 2], "user": str(i % 2)} for i in range(20)]
        load(tmp_path, rows=rows, fold="1/3", group="user")
    for fold in ("6/5", "0/5", "1/1", "1", "a/b"):
        with pytest.raises(ValueError, match="a fold is NUMBER/FOLDS"):
            DataSection(train="a", fold=fold)
