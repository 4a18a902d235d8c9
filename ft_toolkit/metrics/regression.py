"""Regression metrics on two float arrays of shape (n,). Correlations of a constant are NaN, as in SciPy."""

import numpy as np

Array = np.ndarray


def pearson(predictions: Array, references: Array) -> float:
    """Return Pearson's linear correlation."""
    if any((values == values[0]).all() for values in (predictions, references)):
        return float("nan")  # compared by value, because the mean of equal values can differ by rounding
    p, r = predictions - predictions.mean(), references - references.mean()
    return float(np.clip(p @ r / (np.sqrt(p @ p) * np.sqrt(r @ r)), -1.0, 1.0))


def spearman(predictions: Array, references: Array) -> float:
    """Return Spearman's rank correlation; ties get their mean rank."""
    return pearson(_ranks(predictions), _ranks(references))


def mean_squared_error(predictions: Array, references: Array) -> float:
    """Return the mean of the squared differences."""
    return float(np.mean((predictions - references) ** 2))


def mean_absolute_error(predictions: Array, references: Array) -> float:
    """Return the mean of the absolute differences."""
    return float(np.mean(np.abs(predictions - references)))


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]
