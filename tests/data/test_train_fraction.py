"""A share of the training rows: the same rows each time, the smaller part of the larger, no label lost."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.selection import Selector
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.train_fraction import take_train_fraction
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.text_classification import TASK, Settings

CLASSES = Settings(name="text_classification")
NUMBERS = Settings(name="text_classification", problem_type="regression")


def rows(n: int) -> list[dict[str, Any]]:
    """Two thirds `a`, a third `b`, and one `rare`."""
    made = [{"id": f"r{i}", "text": f"text {i}", "label": "b" if i % 3 == 0 else "a"} for i in range(n - 1)]
    return [*made, {"id": "last", "text": "the only one", "label": "rare"}]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LoadedData]:
    def read(some: list[dict[str, Any]], **section: Any) -> LoadedData:
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
        return load_data(DataSection(train=str(path), **section), TASK, CLASSES)

    return read


def ids(data: LoadedData) -> list[str]:
    return [row["id"] for row in data.splits["train"]]


def test_smaller_shares_are_part_of_larger_ones_and_keep_order_labels_and_validation(load: Any) -> None:
    whole = load(rows(241), validation_fraction=0.2)
    before: set[str] = set()
    for fraction in (0.02, 0.1, 0.25, 0.5, 0.9, 1.0):
        data = take_train_fraction(whole, fraction, Selector(TASK, CLASSES))
        n = len(whole.splits["train"])
        assert len(ids(data)) == int(n * fraction + 0.5)
        assert before < set(ids(data)) and ids(data) == [i for i in ids(whole) if i in set(ids(data))]
        assert data.split_fingerprints["validation"] == whole.split_fingerprints["validation"]
        counts = Counter(row["label"] for row in data.splits["train"])
        assert set(counts) == {row["label"] for row in whole.splits["train"]}
        if fraction > 0.05:
            assert counts["a"] / counts["b"] == pytest.approx(2, rel=0.25)
        before = set(ids(data))
    assert data.fingerprint == whole.fingerprint and data.notes == whole.notes
    assert take_train_fraction(whole, None, Selector(TASK, CLASSES)) is whole


def test_the_rows_depend_on_their_content_and_not_on_their_place_or_id(load: Any) -> None:
    some = rows(60)
    one = take_train_fraction(load(some, validation_fraction=0.2), 0.3, Selector(TASK, CLASSES))
    turned = [{**row, "id": f"x{i}"} for i, row in enumerate(reversed(some))]
    other = take_train_fraction(load(turned, validation_fraction=0.2), 0.3, Selector(TASK, CLASSES))
    texts = [sorted(row["text"] for row in data.splits["train"]) for data in (one, other)]
    assert texts[0] == texts[1]
    assert any("rows used (data.train_fraction)" in note for note in one.notes)


def test_numbers_as_labels_are_not_taken_for_classes(load: Any) -> None:
    some = [{"text": f"text {i}", "label": i} for i in range(100)]
    whole = load(some, validation_fraction=0.2)
    assert len(ids(take_train_fraction(whole, 0.1, Selector(TASK, NUMBERS)))) == int(len(ids(whole)) * 0.1 + 0.5)


def test_a_share_without_a_row_is_refused(load: Any) -> None:
    whole = load(rows(30), validation_fraction=0.2)
    with pytest.raises(DataError, match=r"data.train_fraction=0.001 of \d+ training rows leaves no row"):
        take_train_fraction(whole, 0.001, Selector(TASK, CLASSES))
