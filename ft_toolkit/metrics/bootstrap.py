"""Percentile bootstrap intervals (Efron 1979): how far a score would move on another test set of the same size."""

from collections.abc import Callable, Mapping

import numpy as np

MetricFn = Callable[[np.ndarray, np.ndarray], float]


def resample(
    metrics: Mapping[str, MetricFn], predictions: np.ndarray, references: np.ndarray, *, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return each metric's value on `samples` resamples of the examples (the first axis of both arrays).

    The resamples depend on (number of examples, samples, seed) alone: two models' values on the same examples pair up.
    """
    rng = np.random.default_rng(seed)
    n = len(references)
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(samples):
        chosen = rng.integers(0, n, n)
        sampled_predictions, sampled_references = predictions[chosen], references[chosen]
        for name, fn in metrics.items():
            values[name].append(fn(sampled_predictions, sampled_references))
    return {name: np.array(found) for name, found in values.items()}


def central_95(values: np.ndarray) -> tuple[float, float] | None:
    """Return the 2.5% and 97.5% quantiles; undefined values (NaN) are left out, and None returned if all are."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def varies(values: np.ndarray) -> bool:
    """Say whether the defined values differ."""
    known = values[~np.isnan(values)]
    return len(known) > 1 and bool(known.min() < known.max())
