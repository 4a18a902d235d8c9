"""`ftk data card`, `ftk data check` and `ftk data diff` on files of a user."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from ft_toolkit.data.cards import load_card

MARKED = {"good": "works very well", "bad": "broke on the second day"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write training and test rows to a folder."""
    (tmp_path / "reviews").mkdir()
    for name, n in (("train", 60), ("test", 20)):
        write_rows(tmp_path / f"reviews/{name}.csv", [f"{name} article {i}" for i in range(n)])
    return tmp_path / "reviews"


def write_rows(path: Path, names: list[str], labels: str = "good bad") -> None:
    kinds = labels.split()
    rows = [(f"{name} {MARKED[kinds[i % len(kinds)]]}", kinds[i % len(kinds)]) for i, name in enumerate(names)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")


def test_a_card_is_valid_and_is_read_by_recipes_and_by_the_check(here: Any, folder: Path) -> None:
    done = here("data", "card", folder, "--license", "cc-by-4.0", "--language", "en", "--title", "My reviews | *new*")
    assert "with 4 open questions" in done.stdout
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.language == ["en"]
    assert card.data.task_categories == ["text-classification"] and card.data.size_categories == ["n<1K"]
    assert card.data.configs[0]["data_files"][1] == {"split": "test", "path": "test.csv"}
    assert r"# My reviews \| \*new\*" in card.text
    block = load_card(str(folder)).block
    assert block.tasks["text_classification"].labels == ["bad", "good"]
    assert {split: facts.rows for split, facts in block.splits.items()} == {"train": 60, "test": 20}
    for card in (folder, folder / "README.md"):
        assert "the rows of train, test match the card" in here("data", "check", card).stdout
    (folder / "test.csv").write_text((folder / "test.csv").read_text().replace("article 3", "article 4"))
    done = here("data", "check", folder, check=False)
    assert done.returncode == 3 and "the rows of test differ" in done.stderr


@pytest.mark.processes
def test_a_person_at_a_terminal_is_asked_and_may_correct_an_answer(folder: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, "MIT\nmit\nEnglish\nen de\nWritten by hand in Zürich.\n\n\nLegal texts.\n".encode())
    command = [sys.executable, "-m", "ft_toolkit", "data", "card", str(folder)]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=True)
    os.close(ours)
    os.close(theirs)
    assert "found 'MIT'" in done.stdout and "Did you mean 'mit'?" in done.stdout
    assert "found 'English'; an ISO 639 code is required" in done.stdout
    assert "with 2 open questions" in done.stdout
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "mit" and card.data.language == ["en", "de"]
    assert "Written by hand in Zürich." in card.text and "Legal texts." in card.text


def test_wrong_cards(here: Any, folder: Path, tmp_path: Path) -> None:
    for words, message in (
        (["data", "card", folder, "--license", "unknown-licence"], "a licence identifier of the Hub is required"),
        (["data", "card", folder / "no.csv"], "file not found"),
        (["data", "check", tmp_path], "no data card"),
    ):
        done = here(*words, check=False)
        assert done.returncode == 2 and message in done.stderr, words
    here("data", "card", folder)
    done = here("data", "card", folder, check=False)
    assert done.returncode == 2 and "README.md exists" in done.stderr


def test_a_diff_counts_changed_rows_and_finds_other_labels(here: Any, folder: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    shutil.copy(folder / "train.csv", old)
    write_rows(new, [f"new article {i}" for i in range(40)], labels="good")
    lines = old.read_text().splitlines()[1:51]
    lines[0] = lines[0].replace(",good", ",bad")
    new.write_text(new.read_text() + "\n".join(lines) + "\n")
    done = here("data", "diff", old, new, "--output", tmp_path / "diff.json")
    results = json.loads((tmp_path / "diff.json").read_text())
    counts = [results[name] for name in ("same", "relabelled", "added", "removed")]
    assert counts == [49, 1, 40, 10]
    assert "relabelled: " in done.stdout and "good -> bad" in done.stdout
    assert "added rows and rows of the first version, labels: differ" in done.stdout
    done = here("data", "diff", old, old)
    assert "the same in both    60" in done.stdout and "differ" not in done.stdout
