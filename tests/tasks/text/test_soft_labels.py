"""Soft targets: cells, errors, the loss against torch's cross entropy, and a run that learns from another model."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks, text_classification
from ft_toolkit.tasks.base import Batch, DefinedLabels, LabelSource
from ft_toolkit.tasks.text_classification import Schema, Settings, count_targets, find_schema, load_schema, loss_sum

LABELS = ("bad", "good", "so-so")
MULTI = "multi_label_classification"


def read(rows: list[dict[str, Any]], order: tuple[str, ...] | None = None, **settings: Any) -> tuple[Any, list[str]]:
    defined = None if order is None else DefinedLabels(order, "task.labels")
    marked = text_classification.TASK.mark_missing(rows, Settings(**settings))
    return text_classification.read_labels(marked, Settings(**settings), LabelSource("rows.jsonl", defined))


@pytest.mark.parametrize(
    "cell",
    [
        {"good": 0.7, "bad": 0.2, "so-so": 0.1},
        '{"good": 0.7, "bad": 0.2, "so-so": 0.1}',
        [0.2, 0.7, 0.1],
        "[0.2, 0.7, 0.1]",
    ],
)
def test_a_cell_is_an_object_or_a_list_in_the_order_of_the_labels(cell: Any) -> None:
    rows, notes = read([{"text": "x", "label": None, "label_probabilities": cell}], LABELS)
    assert rows[0]["label_probabilities"] == pytest.approx({"bad": 0.2, "good": 0.7, "so-so": 0.1})
    assert rows[0]["label"] == "good"
    assert notes == [
        "column 'label_probabilities': 1 of 1 rows have soft targets; 1 of them have no label and get the most probable label, "
        "which scores use"
    ]


def test_the_label_column_counts_where_it_has_a_value() -> None:
    soft = {"good": 0.9, "bad": 0.1}
    rows, notes = read(
        [
            {"text": "a", "label": "bad", "label_probabilities": soft},
            {"text": "b", "label": "good", "label_probabilities": None},
            {"text": "c", "label": None, "label_probabilities": soft},
            {"text": "d", "label": "bad", "label_probabilities": " "},
        ]
    )
    assert [row["label"] for row in rows] == ["bad", "good", "good", "bad"]
    assert "2 of 4 rows have soft targets; 1 of them have no label" in notes[0]
    schema = find_schema(Settings(), rows, None, None)
    assert schema.soft_targets and schema.labels == ("bad", "good")
    targets = text_classification._training_targets(rows, schema)
    assert targets == [[0.1, 0.9], [0.0, 1.0], [0.1, 0.9], [1.0, 0.0]]
    # scores use the labels
    assert text_classification._targets(rows, schema) == [0, 1, 1, 0]
    assert load_schema(json.loads(json.dumps(vars(schema)))) == schema


def test_several_labels_have_independent_probabilities() -> None:
    rows, _ = read(
        [{"text": "a", "label": None, "label_probabilities": {"x": 0.9, "y": 0.8, "z": 0.1}}], problem_type=MULTI
    )
    assert rows[0]["label"] == ["x", "y"]
    schema = find_schema(Settings(problem_type=MULTI), rows, None, None)
    assert text_classification._training_targets(rows, schema) == [[0.9, 0.8, 0.1]]
    with pytest.raises(DataError, match=r"row 1.*no probability of z; write all labels"):
        rows[0]["label_probabilities"].pop("z")
        find_schema(Settings(problem_type=MULTI, labels=["x", "y", "z"]), rows, None, None)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"good": 0.7, "bad": 0.2}, r"have the sum 0\.9, and 1 is required"),
        ({"good": 1.2, "bad": -0.2}, r"probability of 'good' must be a number from 0 to 1; found 1\.2"),
        ({"good": -0.1, "bad": 1.0}, r"found -0\.1"),
        ({"good": math.nan, "bad": 0.5}, "found nan"),
        ('{"good": NaN, "bad": 0.5}', "label_probabilities"),
        ({"good": None, "bad": 1.0}, "found None"),
        ({"good": True, "bad": 0.0}, "found True"),
        ({"good": 0.5, " good": 0.5}, "'good' occurs twice"),
        ([0.5, 0.5], "nothing says which probability belongs to which label"),
        ({}, "must be an object"),
        (0.5, "must be an object"),
        ("good: 0.5", "write JSON"),
    ],
)
def test_a_wrong_cell_is_refused(cell: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read([{"text": "x", "label": "good"}, {"text": "x", "label": "good", "label_probabilities": cell}])
    assert "rows.jsonl: row 2: column 'label_probabilities'" in str(error.value)


def test_wrong_lists_unknown_labels_and_numbers_are_refused() -> None:
    soft = [{"text": "x", "label": None, "label_probabilities": [0.5, 0.5]}]
    with pytest.raises(DataError, match=r"has 2 probabilities, but task\.labels has 3 labels"):
        read(soft, LABELS)
    with pytest.raises(DataError, match="requires labels"):
        read(soft, problem_type="regression")
    rows, _ = read([{"text": "x", "label": "bad", "label_probabilities": {"goood": 0.6, "bad": 0.4}}])
    with pytest.raises(DataError, match=r"column 'label_probabilities': unknown label 'goood'.*good"):
        find_schema(Settings(labels=["bad", "good"]), rows, None, None)


def loss(schema: Schema, logits: torch.Tensor, targets: list[Any]) -> tuple[float, float]:
    padded = text_classification.pad_targets(targets, 0, schema)
    batch = Batch({}, padded, (), 0, 0)
    return float(loss_sum(SimpleNamespace(logits=logits), batch, schema)), count_targets(batch, schema)


def schema_with(problem_type: Any = "single_label_classification", **changes: Any) -> Schema:
    return Schema(problem_type, LABELS, changes.pop("class_weights", None), 0.5, soft_targets=True, **changes)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
def test_the_loss_is_the_cross_entropy_of_torch(weights: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(7, 3, generator=generator)
    targets = torch.rand(7, 3, generator=generator).softmax(-1)
    tensor = None if weights is None else torch.tensor(weights)
    expected = functional.cross_entropy(logits, targets, weight=tensor, reduction="sum")
    total, count = loss(schema_with(class_weights=weights), logits, targets.tolist())
    assert total == pytest.approx(float(expected), rel=1e-6)
    assert count == pytest.approx(7 if tensor is None else float((targets * tensor).sum()), rel=1e-6)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2}, {"focal_gamma": 2.0}])
def test_certain_soft_targets_have_the_loss_of_labels(weights: Any, options: Any) -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    hard = Schema("single_label_classification", LABELS, weights, 0.5, **options)
    soft = schema_with(class_weights=weights, **options)
    labels = [0, 2, 1, 1, 0]
    assert loss(soft, logits, torch.eye(3)[labels].tolist()) == pytest.approx(loss(hard, logits, labels), rel=1e-6)
    absent = None if weights is None else (2.0, 1.5, 0.7)
    several = {"class_weights": weights, "absent_weights": absent, **options}
    hard = Schema(MULTI, LABELS, several.pop("class_weights"), 0.5, **several)
    soft = schema_with(MULTI, class_weights=weights, absent_weights=absent, **options)
    sets = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]]
    assert loss(soft, logits, sets) == pytest.approx(loss(hard, logits, sets), rel=1e-6)
    # the loss is linear in the targets: half of each of two sets of labels
    halves = [[(a + b) / 2 for a, b in zip(sets[0], sets[1], strict=True)]]
    one, other = (loss(hard, logits[:1], [each]) for each in sets[:2])
    mean = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    assert loss(soft, logits[:1], halves) == pytest.approx(mean, rel=1e-6)


def test_class_weights_count_probabilities() -> None:
    rows, _ = read([{"text": "x", "label": None, "label_probabilities": {"bad": 0.75, "good": 0.25}} for _ in range(4)])
    schema = find_schema(Settings(class_weights="balanced"), rows, None, None)
    assert schema.class_weights == pytest.approx((4 / (2 * 3), 4 / (2 * 1)))
    targets = text_classification.pad_targets(text_classification._training_targets(rows, schema), 0, schema)
    assert count_targets(Batch({}, targets, (), 0, 0), schema) == pytest.approx(4)


def test_a_model_learns_from_the_predictions_of_another_one(
    write_recipe: Any, here: Any, data_files: dict[str, str], tmp_path: Path
) -> None:
    here("run", write_recipe(), "--output", tmp_path / "teacher")
    texts = [json.loads(line)["text"] for line in Path(data_files["train"]).read_text(encoding="utf-8").splitlines()]
    unlabelled = tmp_path / "new.jsonl"
    unlabelled.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    read_back = []
    for form in ("csv", "jsonl"):
        soft = tmp_path / f"soft.{form}"
        here("predict", tmp_path / "teacher", "--input", unlabelled, "--with-inputs", "--output", soft)
        words = [f"data.train={soft}", "data.columns.label_probabilities=predicted_probabilities"]
        loaded = load_recipe(write_recipe(), words, find_tasks())
        rows = load_data(loaded.recipe.data, loaded.task, loaded.recipe.task).splits["train"]
        assert [row["text"] for row in rows] == texts
        assert all(sum(row["label_probabilities"].values()) == pytest.approx(1) for row in rows)
        read_back.append(list(rows))
    assert read_back[0] == read_back[1]
    ran = here("run", write_recipe(), *words, "--output", tmp_path / "student")
    assert "32 of 32 rows have soft targets; 32 of them have no label" in ran.stdout
    saved = json.loads((tmp_path / "student" / "results.json").read_text(encoding="utf-8"))
    assert saved["schema"]["soft_targets"] is True
    # the column must be in the training rows
    wrong = [words[0], "data.columns.label_probabilities=probs", "--output", tmp_path / "wrong"]
    refused = here("run", write_recipe(), *wrong, check=False)
    assert refused.returncode == 2 and "no column 'probs'" in refused.stderr
