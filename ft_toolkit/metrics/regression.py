"""Regression metrics on two float arrays of shape (n,). Correlations of a constant are NaN, as in SciPy."""

import numpy as np

Array = np.ndarray


def pearson(predictions: Array, references: Array) -> float:
    """Pearson's linear correlation."""
    if any((values == values[0]).all() for values in (predictions, references)):
        return float("nan")  # asked of the values: the mean of equal ones can miss them by one rounding
    p, r = predictions - predictions.mean(), references - references.mean()
    return float(np.clip(p @ r / (np.sqrt(p @ p) * np.sqrt(r @ r)), -1.0, 1.0))


def spearman(predictions: Array, references: Array) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return pearson(_ranks(predictions), _ranks(references))


def mean_squared_error(predictions: Array, references: Array) -> float:
    """Mean of the squared differences."""
    return float(np.mean((predictions - references) ** 2))


def mean_absolute_error(predictions: Array, references: Array) -> float:
    """Mean of the absolute differences."""
    return float(np.mean(np.abs(predictions - references)))


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]
