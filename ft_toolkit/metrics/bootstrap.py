"""Percentile bootstrap intervals (Efron 1979): how far a score would move on another test set of the same size."""

from collections.abc import Callable, Mapping

import numpy as np

MetricFn = Callable[[np.ndarray, np.ndarray], float]


def bootstrap_intervals(
    metrics: Mapping[str, MetricFn], predictions: np.ndarray, references: np.ndarray, *, samples: int, seed: int
) -> dict[str, tuple[float, float] | None]:
    """Return the central 95% of each metric over `samples` resamples of the examples (the first axis of both arrays).

    All metrics see the same resamples. Resamples where a metric is undefined (NaN) are left out; None if all are.
    """
    rng = np.random.default_rng(seed)
    n = len(references)
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(samples):
        chosen = rng.integers(0, n, n)
        sampled_predictions, sampled_references = predictions[chosen], references[chosen]
        for name, fn in metrics.items():
            values[name].append(fn(sampled_predictions, sampled_references))
    return {name: _central_95(np.array(found)) for name, found in values.items()}


def _central_95(values: np.ndarray) -> tuple[float, float] | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
