"""Find labels that are probably wrong: rows whose label the other rows contradict (Northcutt, Jiang and Chuang 2021).

    vectors of the texts ──> linear model of the other folds ──> score of each label ──> score of the given label - best other

The linear model is ridge regression on vectors of length 1. Its predictions are a fixed matrix times the labels, so they are
computed again for other labels in a fraction of a second. This measures the precision: the labels of random rows are changed to
a random other label, and the changed rows among the first suspects are counted.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5
# The penalties from which the out-of-fold accuracy chooses.
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Share of the labels that a planting changes, and the number of plantings. The bound is the smallest number of changed rows
# among the first suspects; a further planting has fewer with a probability of at most 1/20.
PLANTED, PLANTINGS = 0.05, 19


@dataclass(frozen=True)
class Suspects:
    """Rows whose labels are probably wrong, most suspicious first, and the label that the other rows suggest for each.

    `bound` is the smallest number of changed rows among as many suspects, over `PLANTINGS` plantings; `mean` is their mean.
    `model` and its `penalty` gave the scores.
    """

    rows: np.ndarray
    suggested: np.ndarray
    bound: int
    mean: float
    model: "LabelModel"
    penalty: float


class LabelModel:
    """Out-of-fold scores of the labels of rows, for any labels. Rows with equal `groups` are in one fold."""

    def __init__(self, vectors: np.ndarray, groups: np.ndarray, n_labels: int, seed: int) -> None:
        """Compute the matrix of each fold and penalty. `vectors` has the shape (rows, width)."""
        self.n_labels = n_labels
        inputs = np.hstack([vectors - vectors.mean(0), np.ones((len(vectors), 1))]).astype(np.float64)
        codes = np.unique(groups, return_inverse=True)[1]
        folds = np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % FOLDS
        self._folds = []
        for fold in range(FOLDS):
            fit, held_out = inputs[folds != fold], inputs[folds == fold]
            values, basis = np.linalg.eigh(fit.T @ fit)
            self._folds.append((folds == fold, fit @ basis, held_out @ basis, values))

    def scores(self, labels: np.ndarray, penalty: float) -> np.ndarray:
        """Return the out-of-fold scores, shape (rows, labels), for label numbers of shape (rows,)."""
        scores = np.empty((len(labels), self.n_labels))
        targets = np.eye(self.n_labels)[labels]
        for is_held_out, fit, held_out, values in self._folds:
            scores[is_held_out] = (held_out / (values + penalty)) @ (fit.T @ targets[~is_held_out])
        return scores

    def choose_penalty(self, labels: np.ndarray) -> float:
        """Return the penalty with the highest out-of-fold accuracy."""
        return max(PENALTIES, key=lambda penalty: float((self.scores(labels, penalty).argmax(1) == labels).mean()))


def find_suspects(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, most: int, seed: int) -> Suspects:
    """Return at most `most` rows whose labels are probably wrong. `labels` are numbers from 0, shape (rows,)."""
    n_labels = int(labels.max()) + 1
    model = LabelModel(vectors, groups, n_labels, seed)
    penalty = model.choose_penalty(labels)
    rows, suggested = rank(model.scores(labels, penalty), labels)
    counts = []
    for planting in range(PLANTINGS):
        changed, is_changed = plant(labels, n_labels, np.random.default_rng((seed, planting)))
        first, _ = rank(model.scores(changed, penalty), changed)
        counts.append(int(is_changed[first[:most]].sum()))
    return Suspects(rows[:most], suggested[:most], min(counts), float(np.mean(counts)), model, penalty)


def plant(labels: np.ndarray, n_labels: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a share of PLANTED is changed to a random other label, and whether each is changed."""
    is_changed = np.zeros(len(labels), bool)
    is_changed[rng.permutation(len(labels))[: max(round(PLANTED * len(labels)), 1)]] = True
    other = (labels + rng.integers(1, n_labels, len(labels))) % n_labels
    return np.where(is_changed, other, labels), is_changed


def rank(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose best label is not the given one, by the difference of the two scores, and their best labels."""
    best = scores.argmax(1)
    given = scores[np.arange(len(labels)), labels]
    margins = given - scores.max(1)
    order = np.argsort(margins, kind="stable")
    order = order[best[order] != labels[order]]
    return order, best[order]
