"""From a trained model to predictions and scores of every split: what stands in results.json."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation import Predictor
from ft_toolkit.evidence.scores import full_scores
from ft_toolkit.prepare import Prepared
from ft_toolkit.tasks.base import Rows

Decoded = list[dict[str, Any]]


@dataclass(frozen=True)
class ScoredSplit:
    """A split's part of results.json, and the arrays per example that its scores were computed from."""

    record: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray


def predict_splits(predictor: Predictor, prepared: Prepared) -> tuple[Prepared, dict[SplitName, Decoded]]:
    """Return the decoded predictions of every split but train.

    Thresholds are chosen on validation first; the returned `prepared` has the schema that holds them.
    """
    names: list[SplitName] = [name for name in prepared.data.splits if name != "train"]
    values = {name: predictor.predict(prepared.features[name])[0] for name in names}
    if prepared.task.tune is not None:
        rows, features = prepared.data.splits["validation"], prepared.features["validation"]
        schema = prepared.task.tune(values["validation"], features, rows, prepared.schema)
        prepared = replace(prepared, schema=schema)
    task, splits = prepared.task, prepared.data.splits
    decoded = {
        name: task.decode(values[name], prepared.features[name], splits[name], prepared.schema) for name in names
    }
    return prepared, decoded


def predict_rows(predictor: Predictor, prepared: Prepared, rows: Rows) -> Decoded:
    """Return the decoded predictions of some rows, on this process alone."""
    task, schema = prepared.task, prepared.schema
    features = task.encode(rows, prepared.tokenizer, schema, prepared.recipe.data.max_length)
    return task.decode(replace(predictor, alone=True).predict(features)[0], features, rows, schema)


def score_split(prepared: Prepared, split: SplitName, decoded: Sequence[dict[str, Any]]) -> ScoredSplit:
    """Return a split's metrics with intervals, its tables, and each baseline with our lead over it."""
    recipe, rows = prepared.recipe, prepared.data.splits[split]
    score = partial(
        full_scores,
        rows=rows,
        task=prepared.task,
        schema=prepared.schema,
        metrics=prepared.metrics,
        samples=recipe.evaluation.bootstrap_samples,
        seed=recipe.training.seed,
    )
    ours = score(decoded)
    baselines = {}
    for name in prepared.baselines:
        predict = prepared.task.baselines[name]
        predicted = predict(prepared.data.splits["train"], rows, prepared.schema, recipe.training.seed)
        if not predicted:  # it has no answer to what this kind of checkpoint is asked
            continue
        theirs = score(predicted)
        lead = ours.lead_over(theirs)
        baselines[name] = {key: {**found, "lead": lead[key]} for key, found in theirs.metrics().items()}
    record = {"n": ours.n, "metrics": ours.metrics(), **ours.details, "baselines": baselines}
    return ScoredSplit(record, ours.predictions, ours.references)
