"""Thresholds for the probabilities of a classifier that maximize a metric on given rows, in numpy.

Shapes: `probabilities` and `truth` (0/1) are (n, labels), or (n,) for the positive class of two. A label is
predicted if its probability is at least its threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

Array = np.ndarray
# Metrics for sets of labels, and metrics for two classes.
MULTI_LABEL = ("f1_micro", "f1_macro")
TWO_CLASSES = ("accuracy", "f1_binary", "f1_macro", "recall_macro", "matthews_correlation")
# Each threshold is the mean over this number of resamples of the rows. Frozen MiniLM features and logistic regression on the
# entity types of WNUT-17 sentences (6 labels, mean of 8 seeds), 1,000 training and 100 validation rows: micro F1 on the other
# rows was 0.408 at 0.5, 0.397 with the best thresholds, 0.404 with their mean over resamples, 0.408 with the cross-validation
# below. With 300 training and 300 validation rows: 0.339, 0.392, 0.394, 0.388; macro F1 0.226, 0.305, 0.309, 0.307.
RESAMPLES = 25
# Parts of the rows for the cross-validated score.
FOLDS = 5
# Thresholds keep this distance from 0 and 1, so that their logits are finite.
_NEAREST = 1e-6
_SEED = 0

# (probabilities, truth), shape (n, labels) -> thresholds (labels,)
Fit = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Tuning:
    """The scores of thresholds on the rows that chose them.

    `default` is the score at 0.5, `fitted` the score of the thresholds. `cross_validated` is the score of thresholds that were
    fitted to the other parts of the rows; the difference to `fitted` estimates how optimistic `fitted` is. Without a better
    cross-validated score, the thresholds stay 0.5 and `fitted` is equal to `default`.
    """

    metric: str
    rows: int
    default: float
    fitted: float
    cross_validated: float


def tune_thresholds(probabilities: Array, truth: Array, metric: str) -> tuple[tuple[float, ...], Tuning]:
    """Return the thresholds, one per label or one for the positive class, and their scores.

    They differ from 0.5 only if thresholds that are fitted to four fifths of the rows are better than 0.5 on the other fifth.
    """
    shape = probabilities.shape
    columns, true = probabilities.reshape(shape[0], -1), truth.reshape(shape[0], -1)
    is_multi_label = len(shape) == 2
    fit: Fit = _fit_micro_f1
    if metric != "f1_micro":
        fit = partial(_fit_each_label, _label_score(metric, is_multi_label=is_multi_label))
    default = np.full(columns.shape[1], 0.5)

    def score(predicted: Array) -> float:
        return _score(metric, predicted, true, is_multi_label=is_multi_label)

    order = np.random.default_rng(_SEED).permutation(len(columns))
    predicted = np.zeros(columns.shape, bool)
    for fold in range(FOLDS):
        rows, others = order[fold::FOLDS], np.delete(order, slice(fold, None, FOLDS))
        predicted[rows] = columns[rows] >= (_averaged(fit, columns[others], true[others]) if len(others) else default)
    at_default, cross_validated = score(columns >= default), score(predicted)
    thresholds = _averaged(fit, columns, true) if cross_validated > at_default else default
    fitted = score(columns >= thresholds)
    tuning = Tuning(metric, len(columns), at_default, fitted, max(cross_validated, at_default))
    return tuple(round(float(threshold), 6) for threshold in thresholds), tuning


def _averaged(fit: Fit, probabilities: Array, truth: Array) -> Array:
    """Return the mean, on the scale of logits, of the thresholds that are fitted to bootstrap resamples of the rows."""
    rng = np.random.default_rng(_SEED)
    total = np.zeros(probabilities.shape[1])
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(probabilities), len(probabilities))
        thresholds = np.clip(fit(probabilities[rows], truth[rows]), _NEAREST, 1 - _NEAREST)
        total += np.log(thresholds / (1 - thresholds))
    return np.asarray(1 / (1 + np.exp(-total / RESAMPLES)))


@dataclass(frozen=True)
class _Counts:
    """Counts of decisions on a label: true positives, predicted and true ones, and all. The first two may be arrays."""

    hits: Array
    n_predicted: Array
    n_true: Array
    n: int

    @property
    def of_other_class(self) -> "_Counts":
        n_other = self.n - self.n_true
        return _Counts(n_other - self.n_predicted + self.hits, self.n - self.n_predicted, n_other, self.n)

    def f1(self) -> Array:
        return _ratio(2 * self.hits, self.n_predicted + self.n_true)

    def f1_macro(self) -> Array:
        return np.asarray((self.f1() + self.of_other_class.f1()) / 2)

    def recall_macro(self) -> Array:
        other = self.of_other_class
        return np.asarray((_ratio(self.hits, self.n_true) + _ratio(other.hits, other.n_true)) / 2)

    def accuracy(self) -> Array:
        return _ratio(self.hits + self.of_other_class.hits, self.n)

    def matthews_correlation(self) -> Array:
        other = self.of_other_class
        product = 1.0 * self.n_predicted * self.n_true * other.n_predicted * other.n_true
        return _ratio(self.hits * self.n - 1.0 * self.n_predicted * self.n_true, np.sqrt(product))


def _ratio(numerator: Any, denominator: Any) -> Array:
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.asarray(np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0))


def _label_score(metric: str, *, is_multi_label: bool) -> Callable[[_Counts], Array]:
    """Return the score of one label whose mean over the labels is the metric."""
    return _Counts.f1 if is_multi_label or metric == "f1_binary" else getattr(_Counts, metric)


def _score(metric: str, predicted: Array, truth: Array, *, is_multi_label: bool) -> float:
    """Return the metric of decisions, shape (n, labels)."""
    hits, n_predicted, n_true = (predicted & (truth == 1)).sum(0), predicted.sum(0), truth.sum(0)
    if metric == "f1_micro":
        return float(_Counts(hits.sum(), n_predicted.sum(), n_true.sum(), truth.size).f1())
    score = _label_score(metric, is_multi_label=is_multi_label)
    return float(score(_Counts(hits, n_predicted, n_true, len(truth))).mean())


class _Cuts:
    """All possible thresholds of a label, the highest first, and the counts of their decisions."""

    def __init__(self, probabilities: Array, truth: Array) -> None:
        order = np.argsort(-probabilities, kind="stable")
        ordered = np.concatenate([[1.0], probabilities[order], [0.0]])
        # the numbers of predicted rows that do not divide rows of equal probability
        n_predicted = np.flatnonzero(np.diff(ordered[1:-1], prepend=2.0, append=-1.0))
        hits = np.concatenate([[0], np.cumsum(truth[order])])[n_predicted]
        self.counts = _Counts(hits, n_predicted, truth.sum(), len(truth))
        # halfway between the last predicted probability and the next one
        self.thresholds = (ordered[n_predicted] + ordered[n_predicted + 1]) / 2

    def best(self, scores: Array) -> int:
        """Return the position of the best score; among equal scores, of the threshold nearest to 0.5."""
        best = np.flatnonzero(scores >= scores.max() - 1e-12)
        return int(best[np.abs(self.thresholds[best] - 0.5).argmin()])


def _cuts(probabilities: Array, truth: Array) -> list[_Cuts]:
    return [_Cuts(probabilities[:, label], truth[:, label]) for label in range(truth.shape[1])]


def _fit_each_label(score: Callable[[_Counts], Array], probabilities: Array, truth: Array) -> Array:
    """Return the thresholds with the best score of each label alone."""
    return np.array([cuts.thresholds[cuts.best(score(cuts.counts))] for cuts in _cuts(probabilities, truth)])


def _fit_micro_f1(probabilities: Array, truth: Array) -> Array:
    """Return the thresholds with the highest micro F1, by Dinkelbach's method for ratios (1967).

    Micro F1 is 2 * hits / (predicted + true), summed over the labels. For a value f that can be reached, each label alone
    maximizes 2 * hits - f * (predicted + true); the ratio of these choices is the next f.
    """
    cuts = _cuts(probabilities, truth)
    f1 = 0.0
    while True:
        chosen = [
            each.best(2.0 * each.counts.hits - f1 * (each.counts.n_predicted + each.counts.n_true)) for each in cuts
        ]
        hits = sum(each.counts.hits[i] for each, i in zip(cuts, chosen, strict=True))
        total = sum(each.counts.n_predicted[i] + each.counts.n_true for each, i in zip(cuts, chosen, strict=True))
        next_f1 = 2 * hits / total if total else 0.0
        if next_f1 <= f1 + 1e-12:
            return np.array([each.thresholds[i] for each, i in zip(cuts, chosen, strict=True)])
        f1 = next_f1
