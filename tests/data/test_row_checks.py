"""Warnings about the rows of a new data set."""

import json
from pathlib import Path
from typing import Any

from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.local_files import read_file
from ft_toolkit.data.row_checks import check_rows, label_counts
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.guessing.table import make_table

TASK = find_tasks()["text_classification"]
SETTINGS = TASK.settings()


def warnings(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]] | None = None) -> list[str]:
    """Return the warnings on rows with the columns text and label; validation rows have another text."""
    rows = {"train": train, "validation": [{"text": "something else", "label": "a"}], "test": test}
    files = {}
    for name, part in rows.items():
        if part is not None:
            files[name] = str(folder / f"{name}.jsonl")
            Path(files[name]).write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    data = load_data(DataSection(**files), TASK, SETTINGS)
    table = make_table(read_file(Path(files["train"])), {})
    return check_rows(data, TASK, SETTINGS, table, {"text": "text", "label": "label"})


def rows(n: int, labels: str = "ab", **columns: Any) -> list[dict[str, Any]]:
    return [{"text": f"text {i}", "label": labels[i % len(labels)], **columns} for i in range(n)]


def test_clean_rows_have_no_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, rows(40)) == []


def test_repeated_empty_and_leaked_texts(tmp_path: Path) -> None:
    train = [*rows(40), {"text": "text 0", "label": "b"}, {"text": " ", "label": "a"}]
    assert warnings(tmp_path, train, test=[{"text": "text 1", "label": "b"}]) == [
        "train: 1 of 42 texts are empty",
        "train: 1 of 42 texts repeat an earlier text",
        "test: 1 of 1 texts are also in the training rows, so the score is optimistic",
        "the same text has different labels in different rows: 1 text, such as 'text 0'",
    ]


def test_rare_and_unequal_labels(tmp_path: Path) -> None:
    rare = [*rows(40), {"text": "text c", "label": "c"}]
    assert warnings(tmp_path, rare) == [
        "fewer than 10 examples for 1 label: c. These are too few to learn or score a label. "
        "Merge such labels, drop them, or collect more examples",
        "the labels are imbalanced: 'a' has 21 rows, 'c' has 1. Look at the scores per label",
    ]
    (majority,) = warnings(tmp_path, rows(200, labels="a" * 18 + "b"))
    assert majority.startswith("95% of the rows have the label 'a'")


def test_labels_without_a_training_row(tmp_path: Path) -> None:
    first, *_ = warnings(tmp_path, rows(40), test=[{"text": "new", "label": "c"}])
    assert (
        first
        == "labels without a training row: c. 'ftk run' refuses rows with these labels unless task.labels names them"
    )


def test_columns_that_leak_or_never_change(tmp_path: Path) -> None:
    leaking = [{**row, "user": f"user {row['label']}{i % 3}", "day": i % 7} for i, row in enumerate(rows(42))]
    (warning,) = warnings(tmp_path, leaking)
    assert warning.startswith("column 'user' determines the label of 100% of the rows.")
    assert "data.group=user" in warning
    constant = [{**row, "label": "a"} for row in rows(200)]
    constant[0]["label"] = "b"
    assert "column 'label' (label) has the same value in 100% of the rows" in warnings(tmp_path, constant)


def test_labels_are_counted_per_split(tmp_path: Path) -> None:
    warnings(tmp_path, rows(5))
    section = DataSection(train=str(tmp_path / "train.jsonl"), validation=str(tmp_path / "validation.jsonl"))
    data = load_data(section, TASK, SETTINGS)
    assert label_counts(data, TASK, SETTINGS) == {
        "a": {"train": 3, "validation": 1},
        "b": {"train": 2, "validation": 0},
    }
