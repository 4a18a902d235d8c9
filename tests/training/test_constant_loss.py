"""The loss of the best constant prediction is the entropy of the class shares, or the variance of numbers."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.constant_loss import constant_loss
from ft_toolkit.training.prepare import prepare


def entropy(counts: Any) -> float:
    shares = np.array(list(counts)) / sum(counts)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


@pytest.fixture
def find_loss(write_recipe: Any, tmp_path: Any) -> Any:
    """Return the constant loss and the training rows of a recipe with settings."""

    def find(*settings: str) -> tuple[float | None, Any]:
        prepared = prepare(
            load_recipe(write_recipe(), ["evaluation.baselines=[]", *settings], find_tasks()), work_folder=tmp_path
        )
        return constant_loss(prepared), prepared.data.splits["train"]

    return find


def test_single_labels(find_loss: Any) -> None:
    loss, rows = find_loss()
    assert loss == pytest.approx(entropy(Counter(row["label"] for row in rows).values()), abs=1e-4)
    balanced, _ = find_loss("task.class_weights=balanced")
    assert balanced == pytest.approx(np.log(3), abs=1e-4)


def test_several_labels(find_loss: Any) -> None:
    loss, rows = find_loss("task.problem_type=multi_label_classification")
    counts = Counter(row["label"] for row in rows).values()
    expected = np.mean([entropy([count, len(rows) - count]) for count in counts])
    assert loss == pytest.approx(expected, abs=1e-4)


def test_numbers_and_tags(find_loss: Any, tmp_path: Any) -> None:
    path = tmp_path / "numbers.jsonl"
    values = [0.5 * n for n in range(12)]
    path.write_text("".join(json.dumps({"id": str(v), "text": "a text", "label": v}) + "\n" for v in values))
    files = [f"data.{name}={path}" for name in ("train", "validation", "test")]
    assert find_loss(*files, "task.problem_type=regression")[0] == pytest.approx(np.var(values), rel=1e-3)
    task = find_tasks()["ner"]
    path.write_text("".join(json.dumps(row) + "\n" for row in task.sample_rows(task.settings())), encoding="utf-8")
    loss, _ = find_loss(*files, "task=ner")
    assert 0.3 < loss < 1.5


def test_tasks_without_classes_have_none(find_loss: Any, tmp_path: Any) -> None:
    assert find_loss("task=language_modelling")[0] is None
