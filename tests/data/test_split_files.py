"""Files of the splits are found by their names, and never guessed."""

from pathlib import Path

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.split_files import find_split_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text,label\n", encoding="utf-8")


def refusal(*names: str) -> str:
    with pytest.raises(DataError) as caught:
        find_split_files(names)
    return str(caught.value)


def test_a_single_file_has_the_training_rows(folder: Path) -> None:
    make("reviews.csv", "other.csv", "test.csv")
    assert find_split_files(["reviews.csv"]) == {"train": "reviews.csv"}
    assert find_split_files(["test.csv"]) == {"train": "test.csv"}


@pytest.mark.parametrize(
    ("train", "dev", "test"),
    [
        ("train.csv", "dev.csv", "test.csv"),
        ("reviews_train.tsv", "reviews_valid.tsv", "reviews_test.tsv"),
        ("Training.csv", "Validation.csv", "Testing.csv"),
        ("de-train.jsonl", "de-val.jsonl", "de-test.jsonl"),
    ],
)
def test_a_training_file_brings_the_files_beside_it(folder: Path, train: str, dev: str, test: str) -> None:
    make(train, dev, test, "other_test.csv", "testimonials.csv", "train.md")
    expected = {"train": train, "validation": dev, "test": test}
    assert find_split_files([train]) == expected
    assert find_split_files([test, train, dev]) == expected


def test_a_folder_has_its_files_by_name(folder: Path) -> None:
    make("data/train.csv", "data/test.csv", "data/README.md", "one/reviews.csv")
    assert find_split_files(["data"]) == {"train": "data/train.csv", "test": "data/test.csv"}
    assert find_split_files(["one"]) == {"train": "one/reviews.csv"}


def test_shards_become_a_pattern_and_patterns_stay(folder: Path) -> None:
    make("data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/test-00000-of-00001.csv")
    expected = {"train": "data/train-*-of-00002.csv", "test": "data/test-00000-of-00001.csv"}
    assert find_split_files(["data"]) == expected
    assert find_split_files(["data/train-*.csv"]) == {"train": "data/train-*.csv"}
    assert refusal("data/dev-*.csv").startswith("data/dev-*.csv: no file matches this pattern")


def test_folders_of_a_format_are_one_split_each(folder: Path) -> None:
    make(*(f"imdb/{part}/{name}/1.txt" for part in ("train", "test") for name in ("pos", "neg")))
    assert find_split_files(["imdb"]) == {"train": "imdb/train", "test": "imdb/test"}
    assert find_split_files(["imdb/train"]) == {"train": "imdb/train"}


def test_names_that_do_not_say_the_split_are_refused(folder: Path) -> None:
    make("a.csv", "b.csv", "train.csv", "training.csv", "dev.csv", "test.csv", "empty/README.md")
    assert refusal("a.csv", "b.csv").endswith("(train, validation or test); found a.csv, b.csv")
    assert "train.csv and training.csv both mean train" in refusal("train.csv", "training.csv")
    assert refusal("dev.csv", "test.csv").endswith(
        "no file with training rows (a name with 'train'); found dev.csv, test.csv"
    )
    assert refusal("missing.csv").startswith("missing.csv: file not found")
    assert refusal("empty") == "empty: the folder has no data file"
