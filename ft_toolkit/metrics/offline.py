"""Metrics as `evaluate.Metric` objects: the interface of `evaluate.load` without a download."""

from collections.abc import Mapping
from typing import Any

import datasets
import evaluate
import numpy as np

from ft_toolkit.metrics.metric import Metric


class OfflineMetric(evaluate.Metric):  # type: ignore[misc] # evaluate has no types
    """An `evaluate.Metric` that computes several metrics of a task together, with local code."""

    def __init__(self, metrics: Mapping[str, Metric], example: np.ndarray) -> None:
        """Create the metric; shape and dtype of `example`, an array of predictions, define what `compute` accepts."""
        self._metrics = metrics
        value = datasets.Value(str(example.dtype))
        self._feature = datasets.Sequence(value) if example.ndim == 2 else value
        super().__init__(keep_in_memory=True, experiment_id="ft_toolkit")

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{', '.join(self._metrics)}, computed locally by ft_toolkit",
            citation="",
            inputs_description="predictions and references: one entry per example",
            features=datasets.Features({"predictions": self._feature, "references": self._feature}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        arrays = np.array(predictions), np.array(references)
        return {name: metric.fn(*arrays) for name, metric in self._metrics.items()}


def compute(metrics: Mapping[str, Metric], predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Return all metrics of a split, computed through `evaluate`."""
    scores: dict[str, float] = OfflineMetric(metrics, references).compute(
        predictions=predictions, references=references
    )
    return scores
