"""Regression metrics on two float arrays of shape (n,). Correlations of a constant are NaN, as in SciPy."""

import numpy as np

Array = np.ndarray


def pearson(predictions: Array, references: Array) -> float:
    """Pearson's linear correlation."""
    p, r = predictions - predictions.mean(), references - references.mean()
    spread = float(np.sqrt((p @ p) * (r @ r)))
    return float(p @ r) / spread if spread else float("nan")


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
