"""Tuned thresholds of a classifier: in the schema, in predictions, in what the card says, and in a complete run."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.base import Features, PipelineRequest
from ft_toolkit.tasks.text_classification import TASK, Settings

SINGLE, MULTI = "single_label_classification", "multi_label_classification"


def tuned(problem_type, metric, labels, *, shift=3.5, n=200):
    """Return the schema after `tune` on rows whose logits are too low by `shift`, and these rows and logits."""
    rng = np.random.default_rng(1)
    truth = (rng.random((n, len(labels))) < 0.2).astype(int)
    logits = rng.normal(0, 1, truth.shape) + 3 * truth - shift
    if problem_type == SINGLE:
        rows = [{"text": "x", "label": labels[is_set]} for is_set in truth[:, 0]]
        logits = np.stack([np.zeros(n), logits[:, 0]], axis=1)
    else:
        rows = [
            {"text": "x", "label": [name for name, is_set in zip(labels, row, strict=True) if is_set]} for row in truth
        ]
    schema = TASK.find_schema(Settings(problem_type=problem_type, tune_thresholds=metric), rows, None, None)
    features = Features({"input_ids": []}, [], list(range(n)), [])
    return TASK.tune(logits, features, rows, schema), rows, logits, features


def test_a_threshold_per_label_is_saved_and_used():
    schema, rows, logits, features = tuned(MULTI, "f1_macro", ("a", "b", "c"))
    assert len(schema.thresholds) == 3 and max(schema.thresholds) < 0.45
    assert TASK.load_schema(json.loads(json.dumps(asdict(schema)))) == schema
    for before, after in zip(
        TASK.decode(logits, features, rows, replace(schema, thresholds=None)),
        TASK.decode(logits, features, rows, schema),
        strict=True,
    ):
        assert before["probabilities"] == after["probabilities"]
        expected = [n for n, t in zip("abc", schema.thresholds, strict=True) if after["probabilities"][n] >= t]
        assert after["labels"] == expected and set(before["labels"]) <= set(expected)
    text = TASK.tuning_text(schema)
    assert text.startswith("Thresholds were chosen on the 200 validation rows for f1 macro: a 0.")
    assert "at 0.5" in text and "in cross-validation" in text
    code = TASK.pipeline(schema, PipelineRequest("m", "'x'", None))
    assert code.remark.startswith("take the labels that score at least their threshold: a 0.")


def test_the_last_of_two_labels_has_a_threshold():
    schema, rows, logits, features = tuned(SINGLE, "f1_binary", ("no", "yes"))
    (threshold,) = schema.thresholds
    assert threshold < 0.45
    for prediction in TASK.decode(logits, features, rows, schema):
        assert prediction["label"] == ("yes" if prediction["probabilities"]["yes"] >= threshold else "no")
        assert prediction["score"] == prediction["probabilities"][prediction["label"]]
    assert f"yes from a probability of {threshold:.3g}" in TASK.tuning_text(schema)
    assert TASK.pipeline(schema, PipelineRequest("m", "'x'", None)).remark.startswith("this model predicts yes from")


def test_thresholds_that_do_not_help_are_not_changed():
    schema, *_ = tuned(SINGLE, "accuracy", ("no", "yes"), shift=1.5, n=60)
    assert schema.thresholds == (0.5,)
    assert TASK.tuning_text(schema).startswith("All thresholds stay 0.5: in cross-validation on the 60 validation rows")
    assert TASK.pipeline(schema, PipelineRequest("m", "'x'", None)).remark == ""


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({"tune_thresholds": "f1_macro"}, "abc", "a threshold requires two labels; found 3"),
        (
            {"tune_thresholds": "f1_micro"},
            "ab",
            "is not supported with task.problem_type=single_label.*allowed: accuracy",
        ),
        ({"tune_thresholds": "f1_binary", "problem_type": MULTI}, "ab", "allowed: f1_micro, f1_macro"),
        ({"tune_thresholds": "f1_macro", "problem_type": "regression"}, "12", "regression; remove it"),
        (
            {"tune_thresholds": "f1_macro", "threshold": 0.3, "problem_type": MULTI},
            "ab",
            "exclude each other; remove one",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, labels, message):
    rows = [{"id": str(n), "text": "x", "label": label} for n, label in enumerate(labels)]
    with pytest.raises(DataError, match=message):
        TASK.find_schema(Settings(**settings), rows, None, None)


@pytest.mark.slow
def test_a_run_names_its_thresholds_and_its_model_uses_them(here, write_recipe, tmp_path):
    settings = ["task.problem_type=multi_label_classification", "task.tune_thresholds=f1_macro"]
    done = here("run", write_recipe(), *settings, "--output", tmp_path / "run")
    schema = json.loads((tmp_path / "run" / "model" / "inference.json").read_text(encoding="utf-8"))["schema"]
    assert len(schema["thresholds"]) == len(schema["labels"]) and schema["tuning"]["metric"] == "f1_macro"
    for text in (
        done.stdout,
        *((tmp_path / "run" / n).read_text(encoding="utf-8") for n in ("report.html", "README.md")),
    ):
        assert "validation rows for f1 macro" in text or "All thresholds stay 0.5" in text
    here("predict", tmp_path / "run", "the box was empty", "--output", tmp_path / "answer.jsonl")
    answer = json.loads((tmp_path / "answer.jsonl").read_text(encoding="utf-8"))
    limits = dict(zip(schema["labels"], schema["thresholds"], strict=True))
    assert answer["labels"] == [name for name, p in answer["probabilities"].items() if p >= limits[name]]
