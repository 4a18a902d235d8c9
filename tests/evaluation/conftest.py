"""Run folders written by hand, as `ftk run` leaves them, with predictions that a test chooses."""

import json
from pathlib import Path

import numpy as np
import pytest

from ft_toolkit.data.splits import fingerprint
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.metrics.clusters import Clusters


@pytest.fixture
def make_run(tmp_path: Path):
    """Return a function that writes a classifier's run: `right` says which examples it has right, label 1 being `good`.

    `documents` has the number of the document of each example, None for independent examples.
    """

    def make(
        name: str, right, *, labels=("bad", "good"), text="text {}", substitutions=(), seconds=12.5, documents=None
    ) -> Path:
        right = np.asarray(right, bool)
        references = np.arange(len(right)) % 2
        predictions = np.where(right, references, 1 - references)
        if labels != ("bad", "good"):
            references, predictions = 1 - references, 1 - predictions
        folder = tmp_path / name
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "weights").write_bytes(b"0" * 2_000_000)
        records = [
            {
                "split": "test",
                "id": str(i),
                "text": text.format(i),
                "source": "mail" if i < 50 else "chat" if i < 95 else "fax",
            }
            | {"gold": labels[r], "label": labels[p], "score": 0.9}
            for i, (p, r) in enumerate(zip(predictions.tolist(), references.tolist(), strict=True))
        ]
        groups = None if documents is None else Clusters("document", np.asarray(documents))
        clusters = None if groups is None else {"column": "document", "n": groups.n}
        accuracy = {"value": float(right.mean()), "low": None, "high": None}
        results = {
            "name": name,
            "task": "text_classification",
            "task_settings": {"name": "text_classification"},
            "schema": {"problem_type": "single_label_classification", "labels": labels, "class_weights": None}
            | {"threshold": 0.5, "long_texts": "cut"},
            "substitutions": list(substitutions),
            "model": "a model",
            "method": "full",
            "labels": list(labels),
            "main_metric": "accuracy",
            "scores": {"test": {"n": len(right), "metrics": {"accuracy": accuracy}, "clusters": clusters}},
            "data": {
                "split_fingerprints": {"test": fingerprint([{"id": r["id"], "text": r["text"]} for r in records])}
            },
            "training": {"steps": 9, "seconds": seconds, "trainable_parameters": 10, "total_parameters": 10},
            "reload_proof": {"rows": 5, "split": "test", "largest_difference": 0.0, "tolerance": 1e-5},
        }
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "predictions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        write_examples(folder, {"test": (predictions, references)}, {"test": groups})
        return folder

    return make
