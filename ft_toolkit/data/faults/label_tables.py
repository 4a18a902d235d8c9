"""The labels of rows as targets of a linear model: one label per row, a set of labels per row, or spans of words.

Each table says how the labels are changed at random (a planting), and how rows are ranked by the scores of a model:

    one label        a random row gets another label
    a set            a random label of a row is removed, or another one is added
    spans            a span gets another type, is removed, or gets or loses a word at one end
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np

# Share of the rows that a planting changes; of the rows with spans.
PLANTED = 0.05


class LabelTable(Protocol):
    """The labels of the units (texts or words) of rows."""

    @property
    def planting(self) -> str:
        """How a planting changes a row, as the end of a sentence: "the labels of 5% of the rows were ..."."""
        ...

    @property
    def targets(self) -> np.ndarray:
        """The targets of the units, shape (units, labels): 1 for a label that a unit has."""
        ...

    def agreement(self, scores: np.ndarray) -> float:
        """Return how well scores, shape (units, labels), agree with the labels; larger is better."""
        ...

    def plant(self, rng: np.random.Generator) -> tuple[Self, np.ndarray]:
        """Return a table in which some rows have other labels, and whether each row has, shape (rows,)."""
        ...

    def rank(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the suspicious rows, the worst first, and for each the cell (unit, label) that the scores suggest."""
        ...

    def describe(self, row: int, cell: int) -> tuple[str, str | None]:
        """Return a sentence on what the scores suggest for a row, and the label of a row with one label."""
        ...


def _changed_rows(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a share of PLANTED of `rows`, at least one, in random order."""
    return np.asarray(rng.permutation(rows)[: max(round(PLANTED * len(rows)), 1)])


def _contradicted(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the units whose best label is not the given one, by the difference of the two scores, and their best labels."""
    best = scores.argmax(1)
    margins = scores[np.arange(len(best)), labels] - scores.max(1)
    order = np.argsort(margins, kind="stable")
    order = order[best[order] != labels[order]]
    return order, best[order]


def _log_probabilities(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the log-probabilities of each label, shape (units, labels): linear discriminant analysis of the scores.

    The scores of a rare label are rarely the largest, since they are close to its frequency. Indicator regression followed by
    discriminant analysis is discriminant analysis of the vectors (Hastie, Tibshirani and Buja 1994).
    """
    n_labels = scores.shape[1]
    indicators = np.eye(n_labels)[labels]
    n_units = np.maximum(indicators.sum(0), 1)
    means = indicators.T @ scores / n_units[:, None]
    rest = scores - means[labels]
    covariance = rest.T @ rest / len(rest)
    # The scores of a unit have a sum of about 1, so the covariance has no inverse without a penalty.
    inverse = np.linalg.inv(covariance + 1e-5 * max(np.trace(covariance) / n_labels, 1e-12) * np.eye(n_labels))
    logits = scores @ inverse @ means.T - 0.5 * ((means @ inverse) * means).sum(1) + np.log(n_units / len(labels))
    logits -= logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


@dataclass(frozen=True)
class SingleLabels:
    """One label per row: `labels` are positions in `names`, shape (rows,)."""

    labels: np.ndarray
    names: Sequence[str]
    planting: ClassVar[str] = "replaced by another label"

    @property
    def targets(self) -> np.ndarray:
        """The targets of the rows."""
        return np.asarray(np.eye(len(self.names))[self.labels])

    def agreement(self, scores: np.ndarray) -> float:
        """Return the accuracy."""
        return float((scores.argmax(1) == self.labels).mean())

    def plant(self, rng: np.random.Generator) -> tuple[Self, np.ndarray]:
        """Return labels of which a share is changed to a random other label."""
        labels, n = self.labels, len(self.names)
        is_changed = np.zeros(len(labels), bool)
        is_changed[_changed_rows(np.arange(len(labels)), rng)] = True
        other = (labels + rng.integers(1, n, len(labels))) % n
        return replace(self, labels=np.where(is_changed, other, labels)), is_changed

    def rank(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows whose best label is not the given one, by the difference of the two scores."""
        rows, best = _contradicted(scores, self.labels)
        return rows, rows * len(self.names) + best

    def describe(self, row: int, cell: int) -> tuple[str, str | None]:
        """Return the suggested label."""
        label = self.names[cell % len(self.names)]
        return f"the other rows suggest {label!r}", label


@dataclass(frozen=True)
class LabelSets:
    """A set of labels per row: `present` is 0/1, shape (rows, labels)."""

    present: np.ndarray
    names: Sequence[str]
    planting: ClassVar[str] = "changed by one label, removed or added"

    @property
    def targets(self) -> np.ndarray:
        """The targets of the rows."""
        return self.present.astype(np.float64)

    def agreement(self, scores: np.ndarray) -> float:
        """Return the share of right cells."""
        return float((self._margins(scores) > 0).mean())

    def plant(self, rng: np.random.Generator) -> tuple[Self, np.ndarray]:
        """Return sets of which a share loses or gets a random label; both are equally frequent where both are possible."""
        present, n_rows = self.present.copy(), len(self.present)
        is_changed = np.zeros(n_rows, bool)
        for row in _changed_rows(np.arange(n_rows), rng):
            choices = [cells for value in (0, 1) if len(cells := np.flatnonzero(present[row] == value))]
            label = rng.choice(choices[rng.integers(len(choices))])
            present[row, label] = 1 - present[row, label]
            is_changed[row] = True
        return replace(self, present=present), is_changed

    def rank(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with a label on the wrong side, by the distance of their worst label."""
        margins = self._margins(scores)
        worst = margins.argmin(1)
        lowest = margins[np.arange(len(worst)), worst]
        order = np.argsort(lowest, kind="stable")
        order = order[lowest[order] < 0]
        return order, order * len(self.names) + worst[order]

    def _margins(self, scores: np.ndarray) -> np.ndarray:
        """Return the distance of each cell from the middle between the mean scores of rows with and without the label.

        It is in units of the distance of these means, so that rare labels have the same scale; negative on the wrong side.
        """
        low, high = _mean_scores(scores, self.present.astype(np.float64))
        return np.asarray((2 * self.present - 1) * ((scores - low) / np.maximum(high - low, 1e-6) - 0.5))

    def describe(self, row: int, cell: int) -> tuple[str, str | None]:
        """Return the label that the scores add or remove."""
        label = cell % len(self.names)
        change = "without" if self.present[row, label] else "also"
        return f"the other rows suggest {change} {self.names[label]!r}", None


def _mean_scores(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean score of each label over the units without it, and over the units with it, both of shape (labels,)."""
    n_with = targets.sum(0)
    with_label = (scores * targets).sum(0)
    low = (scores.sum(0) - with_label) / np.maximum(len(targets) - n_with, 1)
    return low, with_label / np.maximum(n_with, 1)


@dataclass(frozen=True)
class SpanLabels:
    """Spans of words. The label of a word is the type of its span, or 0 for a word outside of spans.

    `rows` has the row of each word, ascending, shape (words,); `spans` has (first word, stop word, type) of each span, shape
    (spans, 3), with types from 1. `names` are the names of the types from 0 on, and `words` the texts of the words.
    """

    n_rows: int
    rows: np.ndarray
    spans: np.ndarray
    names: Sequence[str]
    words: Sequence[str]
    planting: ClassVar[str] = "changed at one entity: another type, removed, or longer or shorter by a word"

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each word, shape (words,)."""
        labels = np.zeros(len(self.rows), int)
        for first, stop, kind in self.spans:
            labels[first:stop] = kind
        return labels

    @property
    def targets(self) -> np.ndarray:
        """The targets of the words."""
        return np.asarray(np.eye(len(self.names))[self.labels])

    def agreement(self, scores: np.ndarray) -> float:
        """Return the accuracy on the words of spans and on the other words, averaged over the types."""
        right = scores.argmax(1) == self.labels
        return float(np.mean([right[self.labels == kind].mean() for kind in np.unique(self.labels)]))

    def plant(self, rng: np.random.Generator) -> tuple[Self, np.ndarray]:
        """Return spans of which one is changed in a share of the rows with spans."""
        spans, is_changed = self.spans.copy(), np.zeros(self.n_rows, bool)
        dropped = np.zeros(len(spans), bool)
        row_of_span = self.rows[spans[:, 0]]
        for row in _changed_rows(np.unique(row_of_span), rng):
            span = int(rng.integers(*np.searchsorted(row_of_span, [row, row + 1])))
            changes: list[Any] = ["type"] * (len(self.names) > 2) + ["drop"]
            if moves := self._moves(span):
                changes.append("move")
            match rng.choice(changes):
                case "type":
                    shift = rng.integers(1, len(self.names) - 1)
                    spans[span, 2] = (spans[span, 2] - 1 + shift) % (len(self.names) - 1) + 1
                case "drop":
                    dropped[span] = True
                case _:
                    spans[span, :2] = moves[rng.integers(len(moves))]
            is_changed[row] = True
        return replace(self, spans=spans[~dropped]), is_changed

    def _moves(self, span: int) -> list[tuple[int, int]]:
        """Return the other ends that a span can have: a word more or fewer on one side, without touching another span."""
        first, stop, _ = self.spans[span].tolist()
        row = self.rows[first]
        moves = [(first + 1, stop), (first, stop - 1)] if stop - first > 1 else []
        if first and self.rows[first - 1] == row and not self.labels[first - 1]:
            moves.append((first - 1, stop))
        if stop < len(self.rows) and self.rows[stop] == row and not self.labels[stop]:
            moves.append((first, stop + 1))
        return moves

    def rank(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with a word whose most probable label is not the given one, by the word with the lowest odds."""
        words, best = _contradicted(_log_probabilities(scores, self.labels), self.labels)
        first = np.sort(np.unique(self.rows[words], return_index=True)[1])
        return self.rows[words[first]], words[first] * len(self.names) + best[first]

    def describe(self, row: int, cell: int) -> tuple[str, str | None]:
        """Return the word with the lowest odds of its label, and its two labels."""
        word, label = divmod(cell, len(self.names))
        given = self.names[self.labels[word]]
        return (
            f"the other rows suggest {self.names[label]!r} instead of {given!r} for the word {self.words[word]!r}",
            None,
        )
