"""Tests of the differences between two versions of a data set."""

import numpy as np

from ft_toolkit.data.drift import compare_versions
from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
WORDS = [f"{a}{b}" for a in ("har", "mol", "tiv", "quen") for b in ("ist", "eda", "ump", "orin", "ack", "ule")]


def version(rows: list[tuple[str, str]]) -> AuditedRows:
    split = [{"id": str(i), "text": text, "label": label} for i, (text, label) in enumerate(rows)]
    return AuditedRows(LoadedData({"train": split}, {}, None, None, []), TASK, TASK.settings())


def draw(n: int, seed: int, words: list[str] = WORDS, length: int = 12, labels: str = "ab") -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    return [(" ".join(rng.choice(words, length + i % 5)), labels[i % len(labels)]) for i in range(n)]


def found(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> set[str]:
    """Return the names of the tests that find a difference."""
    results = compare_versions(version(first), version(second), ("a", "b"), TASK.name, seed=0)
    return {test.name for test in results.tests if test.adjusted_p <= 0.05}


def test_each_kind_of_drift_is_found_by_its_test() -> None:
    old = draw(100, 0)
    assert found(old, old + draw(60, 1)) == set()
    assert found(old, old + draw(60, 1, labels="a")) == {"labels"}
    assert "words" in found(old, old + draw(60, 1, words=WORDS[:12]))
    assert "lengths" in found(old, old + draw(60, 1, length=18))


def test_repeated_rows_are_matched_one_by_one() -> None:
    old = [("a text", "x"), ("a text", "x"), ("A  text", "y"), ("other", "x")]
    new = [("a text", "y"), ("a text", "x"), ("third", "x")]
    results = compare_versions(version(old), version(new), ("a", "b"), TASK.name, seed=0)
    assert (results.same, results.relabelled, results.removed, results.added) == (1, 1, 2, 1)
    assert results.tests == []
