"""A complete toy task with the required fields and the robustness check: is a phrase calm or angry?

tests/tasks/test_toy_task.py copies this file to a folder outside the package as `mood.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Baseline, Column, Features, Robustness, Task, TaskSettings

if TYPE_CHECKING:
    import torch

MOODS = ("calm", "angry")


class Settings(TaskSettings):
    """The `task:` section."""

    name: Literal["mood"] = "mood"
    # The probability from which a phrase is angry.
    patience: float = 0.5


@dataclass(frozen=True)
class Schema:
    """The only fact that the model needs."""

    patience: float


def read_rows(rows, settings, where):
    """Return the rows unchanged."""
    return rows, []


def encode(rows, tokenizer, schema, max_length) -> Features:
    """Tokenize each phrase into one feature."""
    phrases = [row["phrase"] for row in rows]
    encoded = tokenizer(phrases, truncation=True, max_length=max_length, return_attention_mask=False)
    targets = [MOODS.index(row["mood"]) if "mood" in row else None for row in rows]
    return Features(dict(encoded), targets, list(range(len(rows))), [0] * len(rows))


def pad_targets(targets, width, schema) -> torch.Tensor:
    """Return mood indices, shape (features,)."""
    import torch

    return torch.tensor(targets, dtype=torch.long)


def loss_sum(outputs, batch, schema) -> torch.Tensor:
    """Return the summed cross entropy."""
    from torch.nn import functional

    return functional.cross_entropy(outputs.logits.float(), batch.targets, reduction="sum")


def predict(outputs, batch, schema) -> list[float]:
    """Return the probability of anger for each feature."""
    return outputs.logits.float().softmax(-1)[:, 1].tolist()


def decode(values, features, rows, schema) -> list[dict[str, Any]]:
    """Return {"feeling", "anger"} per row."""
    return [{"feeling": MOODS[int(value >= schema.patience)], "anger": round(value, 6)} for value in values]


def to_arrays(predictions, rows, schema):
    """Return two arrays of mood indices, shape (n,)."""
    feelings = np.array([MOODS.index(prediction["feeling"]) for prediction in predictions])
    return feelings, np.array([MOODS.index(row["mood"]) for row in rows])


def hits(predictions, references) -> float:
    """Return the share of right moods."""
    return float((predictions == references).mean())


def usual_mood(train, rows, schema, seed) -> list[dict[str, Any]]:
    """Predict the most frequent mood of the training rows."""
    ((mood, _),) = Counter(row["mood"] for row in train).most_common(1)
    return [{"feeling": mood} for _ in rows]


def sample_rows(settings) -> list[dict[str, Any]]:
    """Return eight phrases."""
    phrases = ["take your time", "do it now", "no hurry at all", "this is the last time"] * 2
    return [{"id": str(n), "phrase": f"{phrase} {n}", "mood": MOODS[n % 2]} for n, phrase in enumerate(phrases)]


TASK = Task(
    name="mood",
    settings=Settings,
    columns={"phrase": Column("the phrase"), "mood": Column("calm or angry", is_answer=True)},
    read_rows=read_rows,
    sample_rows=sample_rows,
    text_column="phrase",
    find_schema=lambda settings, rows, defined, pretrained: Schema(settings.patience),
    load_schema=lambda values: Schema(**values),
    auto_class={"encoder": "AutoModelForSequenceClassification"},
    model_kwargs=lambda schema: {"num_labels": 2},
    encode=encode,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=lambda batch, schema: float(batch.targets.numel()),
    predict=predict,
    decode=decode,
    reference_answer=lambda row, schema: row["mood"],
    answer=lambda prediction, schema: prediction["feeling"],
    to_arrays=to_arrays,
    metrics=lambda settings: {"hits": Metric(hits, is_mean=True)},
    baselines={"usual_mood": Baseline(usual_mood, "the most frequent mood")},
    robustness=lambda settings: Robustness(("phrase",), ("typos", "uppercase")),
    pipeline_tag="text-classification",
)
