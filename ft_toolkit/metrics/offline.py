"""The toolkit's metrics as `evaluate.Metric` objects: the same interface as `evaluate.load`, and no download."""

from typing import Any

import datasets
import evaluate
import numpy as np

from ft_toolkit.tasks.base import Metric


class OfflineMetric(evaluate.Metric):  # type: ignore[misc] # evaluate has no types
    """An `evaluate.Metric` around one of a task's metrics; its code is here, not on the Hub."""

    def __init__(self, name: str, metric: Metric, example: np.ndarray) -> None:
        """`example` is an array of predictions; its shape and dtype say what `compute` accepts."""
        self._metric_name = name
        self._metric = metric
        value = datasets.Value(str(example.dtype))
        self._feature = datasets.Sequence(value) if example.ndim == 2 else value
        super().__init__(keep_in_memory=True, experiment_id=f"ft_toolkit_{name}")

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self._metric_name}, computed by ft_toolkit without the network",
            citation="",
            inputs_description="predictions and references: one entry per example",
            features=datasets.Features({"predictions": self._feature, "references": self._feature}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {self._metric_name: self._metric.fn(np.array(predictions), np.array(references))}


def compute(metrics: dict[str, Metric], predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Return every metric of the whole split, through `evaluate`."""
    scores: dict[str, float] = {}
    for name, metric in metrics.items():
        scores.update(OfflineMetric(name, metric, references).compute(predictions=predictions, references=references))
    return scores
