"""Fairness between groups of rows: gaps between groups in the selection rate and in the true positive rate of a classifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ft_toolkit.evaluation.breakdown.slices import MIN_ROWS, column_values, most_frequent
from ft_toolkit.evaluation.statistics.scores import ScoringSetup, interval
from ft_toolkit.evaluation.statistics.significance import LEVEL, holm
from ft_toolkit.metrics.clusters import FEW_CLUSTERS, Clusters, Jackknife
from ft_toolkit.tasks.base import Rows

Array = np.ndarray
# Permutations of the test, and bootstrap resamples for the intervals.
SAMPLES = 500
GAP_KINDS = ("demographic_parity", "equal_opportunity")


@dataclass(frozen=True)
class _Answers:
    """Answers of a classifier as 0/1 matrices, shape (n, labels): the predicted and the true labels of each row.

    `truth` numbers the distinct sets of true labels, shape (n,).
    """

    labels: Sequence[str]
    predicted: Array
    true: Array
    truth: Array

    def of_rows(self, rows: Array) -> "_Answers":
        """Return the answers of the rows where `rows` (shape (n,), bool) is true."""
        return _Answers(self.labels, self.predicted[rows], self.true[rows], self.truth[rows])


def group_gaps(rows: Rows, predictions: Array, references: Array, setup: ScoringSetup) -> list[dict[str, Any]]:
    """Return, per column of `setup.groups`, the groups with their n and the gaps in two rates between groups, by label.

    `demographic_parity` compares the share of the rows of a group that are predicted to have a label. `equal_opportunity`
    compares the share among the rows that truly have it (Hardt et al. 2016, arXiv:1610.02413). With two labels only the last
    one, the positive label, is compared. The p-values are corrected for the number of columns and kinds (Holm 1979). Groups
    with fewer than MIN_ROWS rows are not compared; for `equal_opportunity`, MIN_ROWS rows must truly have the label.
    """
    labels = setup.task.labels(setup.schema)
    predicted, true = _label_matrix(predictions, len(labels)), _label_matrix(references, len(labels))
    if predictions.ndim == 1 and len(labels) == 2:
        predicted, true, labels = predicted[:, 1:], true[:, 1:], labels[1:]
    truth = np.unique(references.reshape(len(references), -1), axis=0, return_inverse=True)[1].ravel()
    answers = _Answers(labels, predicted, true, truth)
    draws = _Draws(min(setup.samples, SAMPLES), setup.seed, setup.clusters)
    tables = [_compare_groups(column, rows, answers, draws) for column in setup.groups]
    gaps = [table[kind] for table in tables for kind in GAP_KINDS if table[kind] is not None]
    for gap, corrected in zip(gaps, holm([gap["p_value"] for gap in gaps]), strict=True):
        gap |= {"corrected": corrected, "tests": len(gaps), "shown": corrected < LEVEL}
    return tables


def _label_matrix(answers: Array, n_labels: int) -> Array:
    """Return a 0/1 matrix, shape (n, labels)."""
    return np.asarray(np.eye(n_labels)[answers] if answers.ndim == 1 else answers.astype(float))


def _compare_groups(column: str, rows: Rows, answers: _Answers, draws: "_Draws") -> dict[str, Any]:
    values = column_values(rows, column)
    names, left_out = most_frequent(values)
    member = np.array(values)[:, None] == np.array(names)[None, :]
    sizes = member.sum(axis=0)
    groups = [
        {"group": name, "n": int(n), "compared": bool(n >= MIN_ROWS)} for name, n in zip(names, sizes, strict=True)
    ]
    record: dict[str, Any] = {"column": column, "groups": groups, "left_out": left_out, "labels": list(answers.labels)}
    compared = sizes >= MIN_ROWS
    if compared.sum() < 2:
        return record | {"demographic_parity": None, "equal_opportunity": None}
    inside = member[:, compared].any(axis=1)
    answers = answers.of_rows(inside)
    membership = _Membership(
        [name for name, keep in zip(names, compared, strict=True) if keep], member[inside][:, compared].astype(float)
    )
    if draws.clusters is not None:
        draws = replace(draws, clusters=draws.clusters.of(inside))
    return record | {
        # Null hypothesis: any row may belong to any group.
        "demographic_parity": _gaps(
            answers, np.ones_like(answers.true), np.zeros(len(answers.truth), int), membership, draws
        ),
        # Null hypothesis: a row may belong to any group that has a row with the same true labels.
        "equal_opportunity": _gaps(answers, answers.true, answers.truth, membership, draws),
    }


@dataclass(frozen=True)
class _Membership:
    """The names of the compared groups, and a 0/1 matrix of the rows in each, shape (n, groups)."""

    names: Sequence[str]
    matrix: Array


@dataclass(frozen=True)
class _Draws:
    """The number of permutations and resamples, their seed, and the clusters of the rows."""

    samples: int
    seed: int
    clusters: Clusters | None


def _gaps(
    answers: _Answers, counted: Array, strata: Array, groups: _Membership, draws: _Draws
) -> dict[str, Any] | None:
    """Return the rate of each group and the gap between the highest and the lowest rate, per label, with one test.

    The rate of a group is the mean of `answers.predicted` over the rows that are `counted` (0/1, shape (n, labels)). A gap is
    never negative, so its interval cannot show that there is none. The p-value is the share of permutations of the groups
    within `strata` whose largest gap over all labels is at least as large (Westfall and Young 1993). `low` and `high` are the
    interval of the difference between two groups. Of more than two groups the two most different ones were selected, so their
    difference has no interval (None). Returns None if no label has two groups with a rate.
    """
    predicted, member = answers.predicted, groups.matrix
    rates = _rates(predicted, counted, member)
    gaps = _widths(rates)
    if np.isnan(gaps).all():
        return None
    rng = np.random.default_rng(draws.seed)
    largest = np.nanmax(gaps)
    as_large = 0
    for shuffled in _permutations(member, strata, draws, rng):
        widths = _widths(_rates(predicted, counted, shuffled))
        as_large += bool(not np.isnan(widths).all() and np.nanmax(widths) >= largest - 1e-12)
    p_value = (as_large + 1) / (draws.samples + 1)
    has_interval = (~np.isnan(rates)).sum(axis=0) == 2
    resampled = _resampled_rates(predicted, counted, member, draws, rng) if has_interval.any() else None
    table: list[dict[str, Any]] = []
    for i, label in enumerate(answers.labels):
        if np.isnan(gaps[i]):
            continue
        order = np.argsort(rates[:, i])  # NaN comes last; two groups with equal rates stay two groups
        high, low = int(order[(~np.isnan(rates[:, i])).sum() - 1]), int(order[0])
        defined = {
            name: float(rate) for name, rate in zip(groups.names, rates[:, i], strict=True) if not np.isnan(rate)
        }
        ends = {"highest": groups.names[high], "lowest": groups.names[low]}
        difference: dict[str, float | None] = {"low": None, "high": None}
        if resampled is not None and has_interval[i]:
            differences = resampled[:, high, i] - resampled[:, low, i]
            if _has_few_clusters(member, draws.clusters):
                pair = Jackknife(float(gaps[i]), differences).interval(LEVEL / 2) or (None, None)
                difference = dict(zip(("low", "high"), pair, strict=True))
            else:
                difference = interval(differences)
        table.append({"label": label, "gap": float(gaps[i]), **difference, **ends, "rates": defined})
    table.sort(key=lambda row: row["gap"], reverse=True)
    return {"p_value": p_value, "labels": table}


def _permutations(member: Array, strata: Array, draws: _Draws, rng: np.random.Generator) -> Iterator[Array]:
    """Return `member` with the groups of the rows permuted within `strata`, once per sample.

    Rows of one cluster are not independent. If all of them are in one group, such as the messages of one customer, the groups
    of whole clusters are permuted. Otherwise the groups are permuted within the cluster and the stratum.
    """
    single_group: Sequence[Array] = []
    if draws.clusters is not None:
        groups, members = member.argmax(axis=1), draws.clusters.members
        single_group = [rows for rows in members if (groups[rows] == groups[rows[0]]).all()]
        strata = np.unique(np.stack([strata, draws.clusters.codes]), axis=1, return_inverse=True)[1].ravel()
    order = np.argsort(strata, kind="stable")
    for _ in range(draws.samples):
        shuffled = np.empty_like(member)
        shuffled[order] = member[np.lexsort((rng.random(len(strata)), strata))]
        for rows, other in zip(single_group, rng.permutation(len(single_group)).tolist(), strict=True):
            shuffled[rows] = member[single_group[other][0]]
        yield shuffled


def _has_few_clusters(member: Array, clusters: Clusters | None) -> bool:
    """Return whether a group has rows in so few clusters that the jackknife is used."""
    return clusters is not None and bool(((clusters.sums(member) > 0).sum(axis=0) < FEW_CLUSTERS).any())


def _rates(predicted: Array, counted: Array, member: Array) -> Array:
    """Return the share of the counted rows that are predicted to have a label, shape (groups, labels).

    It is NaN for fewer than MIN_ROWS counted rows.
    """
    n = member.T @ counted
    return np.asarray(np.where(n >= MIN_ROWS, (member.T @ (predicted * counted)) / np.maximum(n, 1), np.nan))


def _widths(rates: Array) -> Array:
    """Return the largest minus the smallest rate of each label, NaN if fewer than two groups have a rate."""
    defined = ~np.isnan(rates)
    width = np.where(defined, rates, -np.inf).max(axis=0) - np.where(defined, rates, np.inf).min(axis=0)
    return np.asarray(np.where(defined.sum(axis=0) >= 2, width, np.nan))


def _resampled_rates(predicted: Array, counted: Array, member: Array, draws: _Draws, rng: np.random.Generator) -> Array:
    """Return the rates on bootstrap resamples, shape (samples, groups, labels).

    The rows of each group are resampled independently. Clusters are resampled together, because a cluster may have rows of
    several groups; if there are few, the result holds the rates without each cluster.
    """
    if draws.clusters is not None:
        in_groups = member[:, :, None] * counted[:, None, :]
        counts, hits = draws.clusters.sums(in_groups), draws.clusters.sums(in_groups * predicted[:, None, :])
        if _has_few_clusters(member, draws.clusters):
            return _ratio(hits.sum(axis=0) - hits, counts.sum(axis=0) - counts)
        drawn = rng.integers(0, draws.clusters.n, (draws.samples, draws.clusters.n))
        return np.stack([_ratio(hits[clusters].sum(axis=0), counts[clusters].sum(axis=0)) for clusters in drawn])
    rates = np.empty((draws.samples, member.shape[1], predicted.shape[1]))
    for group in range(member.shape[1]):
        rows = np.flatnonzero(member[:, group])
        hits, counts = (predicted * counted)[rows], counted[rows]
        for sample in range(draws.samples):
            drawn = rng.integers(0, len(rows), len(rows))
            rates[sample, group] = _ratio(hits[drawn].sum(axis=0), counts[drawn].sum(axis=0))
    return rates


def _ratio(hits: Array, counts: Array) -> Array:
    """Return hits / counts, NaN for a count of 0."""
    return np.asarray(np.where(counts > 0, hits / np.maximum(counts, 1), np.nan))
