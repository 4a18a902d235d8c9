"""Find labels that are probably wrong: rows whose labels the other rows contradict (Northcutt, Jiang and Chuang 2021).

    vectors of texts or words ──> linear model of the other folds ──> score of each label ──> score of the given label - best

The linear model is ridge regression on vectors of length 1. Its predictions are a fixed matrix times the labels, so they are
computed again for other labels in a fraction of a second. This measures the precision: the labels of random rows are changed
(a planting; `label_tables.py` says how), and the changed rows among the first suspects are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ft_toolkit.data.faults.label_tables import LabelTable

FOLDS = 5
# The penalties from which the out-of-fold agreement with the labels chooses.
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# The bound is the third smallest count of changed rows in 81 plantings. The share of further plantings with at least this count
# has the distribution Beta(79, 3), or is larger if counts are equal: it is below 0.9 with a probability of 0.98%, and 0.963 on
# average. For the smallest of 19 counts, this probability is 13.5%.
PLANTINGS, BOUND_RANK = 81, 3


@dataclass(frozen=True)
class Suspects:
    """Rows whose labels are probably wrong, most suspicious first, and a sentence on what the other rows suggest for each.

    `labels` are the suggested labels of rows with one label, else None. `bound` is the third smallest (`BOUND_RANK`) number of
    changed rows among as many suspects in `PLANTINGS` plantings; `mean` is the mean. `model` and its `penalty` gave the scores.
    """

    rows: np.ndarray
    details: Sequence[str]
    labels: Sequence[str | None]
    bound: int
    mean: float
    model: "LabelModel"
    penalty: float


class LabelModel:
    """Out-of-fold scores of the labels of units (texts or words), for any labels. Units with equal `groups` are in one fold."""

    def __init__(self, vectors: np.ndarray, groups: np.ndarray, seed: int) -> None:
        """Compute the matrices of each fold. `vectors` has the shape (units, width)."""
        codes = np.unique(groups, return_inverse=True)[1]
        folds = np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % FOLDS
        mean = vectors.mean(0)
        self._folds: list[tuple[np.ndarray, np.ndarray]] = []
        for fold in range(FOLDS):
            units = np.flatnonzero(folds == fold)
            self._folds.append((units, np.hstack([vectors[units] - mean, np.ones((len(units), 1))]).astype(np.float64)))
        products = [inputs.T @ inputs for _, inputs in self._folds]
        total = np.sum(products, axis=0)
        self._bases = [np.linalg.eigh(total - product) for product in products]

    def scores(self, targets: np.ndarray, penalty: float) -> np.ndarray:
        """Return the out-of-fold scores for targets, both of shape (units, labels)."""
        scores = np.empty(targets.shape)
        products = [inputs.T @ targets[units] for units, inputs in self._folds]
        total = np.sum(products, axis=0)
        for (units, inputs), product, (values, basis) in zip(self._folds, products, self._bases, strict=True):
            weights = basis @ ((basis.T @ (total - product)) / (values + penalty)[:, None])
            scores[units] = inputs @ weights
        return scores

    def choose_penalty(self, table: LabelTable) -> float:
        """Return the penalty whose out-of-fold scores agree best with the labels."""
        return max(PENALTIES, key=lambda penalty: table.agreement(self.scores(table.targets, penalty)))

    def rank(self, table: LabelTable, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the suspects of a table; see `LabelTable.rank`."""
        return table.rank(self.scores(table.targets, penalty))


def find_suspects(vectors: np.ndarray, table: LabelTable, groups: np.ndarray, most: int, seed: int) -> Suspects:
    """Return at most `most` rows whose labels are probably wrong. `vectors` has a vector, and `groups` a group, per unit."""
    model = LabelModel(vectors, groups, seed)
    penalty = model.choose_penalty(table)
    rows, cells = (ranked[:most] for ranked in model.rank(table, penalty))
    counts = [
        count_planted(model, penalty, table, len(rows), np.random.default_rng((seed, planting)))
        for planting in range(PLANTINGS)
    ]
    described = [table.describe(int(row), int(cell)) for row, cell in zip(rows, cells, strict=True)]
    details, labels = [text for text, _ in described], [label for _, label in described]
    return Suspects(rows, details, labels, sorted(counts)[BOUND_RANK - 1], float(np.mean(counts)), model, penalty)


def count_planted(model: LabelModel, penalty: float, table: LabelTable, most: int, rng: np.random.Generator) -> int:
    """Change the labels of random rows, and return the number of changed rows among the first `most` suspects."""
    changed, is_changed = table.plant(rng)
    rows, _ = model.rank(changed, penalty)
    return int(is_changed[rows[:most]].sum())
