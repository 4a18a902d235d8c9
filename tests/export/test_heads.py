"""Graphs of every kind of classifier and of pooling give the predictions of their runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit import runtime
from ft_toolkit.api import load

TEXTS = ["the lamp is late", "good lovely lamp", "", "how does it work " * 30]
# A name for each head, the changes of the recipe, and the answer of a row.
HEADS: list[tuple[str, dict[str, Any], str | None]] = [
    ("several labels", {"task": {"name": "text_classification", "problem_type": "multi_label_classification"}}, None),
    ("number", {"task": {"name": "text_classification", "problem_type": "regression"}}, "score"),
    ("first", {"model": {"pooling": "first"}}, "label"),
    ("max", {"model": {"pooling": "max"}}, "label"),
    ("last", {"model": {"pooling": "last"}}, "label"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes", "answer"), HEADS, ids=[head[0] for head in HEADS])
def test_a_graph_predicts_as_its_run(
    name: str, changes: dict[str, Any], answer: str | None, tiny_bert: str, rows: Any, here: Any, tmp_path: Path
) -> None:
    labels = {"several labels": lambda row: [row["label"], "lamp"], "number": lambda row: float(len(row["text"]))}
    lines = [{"text": row["text"], "label": labels.get(name, lambda row: row["label"])(row)} for row in rows]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = {
        "task": changes.get("task", "text_classification"),
        "model": {"name": tiny_bert, "pooling": "mean"} | changes.get("model", {}),
        "data": {split: str(tmp_path / "rows.jsonl") for split in ("train", "validation")} | {"max_length": 48},
        "training": {
            "learning_rate": 1e-2,
            "max_steps": 4,
            "examples_per_batch": 8,
            "head_start": "none",
            "mixed_precision": "no",
        },
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    here("run", tmp_path / "tiny.yaml", "--output", tmp_path / "run")
    here("export", tmp_path / "run", tmp_path / "graph", "--no-speed")
    ours, theirs = runtime.load(tmp_path / "graph")(TEXTS), load(tmp_path / "run")(TEXTS)
    for left, right in zip(ours, theirs, strict=True):
        assert left.keys() == right.keys()
        if answer == "score":
            assert left["score"] == pytest.approx(right["score"], rel=1e-4)
        else:
            assert left["probabilities"] == pytest.approx(right["probabilities"], abs=2e-5)
            assert left[answer or "labels"] == right[answer or "labels"]
