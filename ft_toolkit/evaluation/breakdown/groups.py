"""Whether a classifier treats groups of rows alike: gaps of selection rates and of true positive rates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.evaluation.breakdown.slices import MIN_ROWS, column_values, most_frequent
from ft_toolkit.evaluation.statistics.scores import interval
from ft_toolkit.tasks.base import Rows

Array = np.ndarray
# Permutations of the test, and resamples for the intervals.
SAMPLES = 500
LEVEL = 0.05


def group_gaps(
    rows: Rows,
    predictions: Array,
    references: Array,
    *,
    columns: Sequence[str],
    labels: Sequence[str],
    samples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return, per column, the groups with their n, and the gap of two rates between groups, label by label.

    `demographic_parity` compares the share of a group's rows that are given a label, `equal_opportunity` the share of the
    rows that truly have it that are given it (Hardt et al. 2016, arXiv:1610.02413). Of two labels only the last, the
    positive one, is looked at. Groups of fewer than MIN_ROWS rows, for a label also those with fewer rows that truly have
    it, are not compared.
    """
    given, true = _marks(predictions, len(labels)), _marks(references, len(labels))
    if predictions.ndim == 1 and len(labels) == 2:
        given, true, labels = given[:, 1:], true[:, 1:], labels[1:]
    truth = np.unique(references.reshape(len(references), -1), axis=0, return_inverse=True)[1].ravel()
    return [
        _of_column(column, column_values(rows, column), given, true, truth, labels, min(samples, SAMPLES), seed)
        for column in columns
    ]


def _marks(answers: Array, n_labels: int) -> Array:
    """Return a 0/1 matrix (n, labels)."""
    return np.asarray(np.eye(n_labels)[answers] if answers.ndim == 1 else answers.astype(float))


def _of_column(
    column: str,
    values: Sequence[str],
    given: Array,
    true: Array,
    truth: Array,
    labels: Sequence[str],
    samples: int,
    seed: int,
) -> dict[str, Any]:
    names, left_out = most_frequent(values)
    member = np.array(values)[:, None] == np.array(names)[None, :]
    sizes = member.sum(axis=0)
    groups = [
        {"group": name, "n": int(n), "compared": bool(n >= MIN_ROWS)} for name, n in zip(names, sizes, strict=True)
    ]
    found: dict[str, Any] = {"column": column, "groups": groups, "left_out": left_out, "labels": list(labels)}
    kept = sizes >= MIN_ROWS
    if kept.sum() < 2:
        return found | {"demographic_parity": None, "equal_opportunity": None}
    inside = member[:, kept].any(axis=1)
    compared = [name for name, keep in zip(names, kept, strict=True) if keep]
    member, given, true, truth = member[inside][:, kept].astype(float), given[inside], true[inside], truth[inside]
    everything = np.ones_like(true)
    return found | {
        # under chance alone any row may belong to any group
        "demographic_parity": _gaps(
            given, everything, np.zeros(len(truth), int), member, compared, labels, samples, seed
        ),
        # under chance alone a row may belong to any group that a row with the same truth belongs to
        "equal_opportunity": _gaps(given, true, truth, member, compared, labels, samples, seed),
    }


def _gaps(
    given: Array,
    counted: Array,
    strata: Array,
    member: Array,
    names: Sequence[str],
    labels: Sequence[str],
    samples: int,
    seed: int,
) -> dict[str, Any] | None:
    """Return the rate of each group and the largest difference, per label, and a test of the largest of all labels.

    The rate of a group is the mean of `given` over the rows that are `counted`. The largest minus the smallest rate is
    never negative, so its own interval could not show that there is none. Whether there is one is said by a permutation
    test of the largest gap of all labels and groups (Westfall and Young 1993): the share of permutations of the groups within
    `strata` that give as large a gap. `low` and `high` are of the difference between those two groups, each
    resampled by itself; they take no account of these two having been picked for being the furthest apart.
    """
    rates = _rates(given, counted, member)
    gaps = _widths(rates)
    if np.isnan(gaps).all():
        return None
    rng = np.random.default_rng(seed)
    order = np.argsort(strata, kind="stable")
    largest = np.nanmax(gaps)
    as_large = 0
    for _ in range(samples):
        shuffled = np.empty_like(member)
        shuffled[order] = member[np.lexsort((rng.random(len(strata)), strata))]
        widths = _widths(_rates(given, counted, shuffled))
        as_large += bool(not np.isnan(widths).all() and np.nanmax(widths) >= largest - 1e-12)
    p_value = (as_large + 1) / (samples + 1)
    resampled = _resampled_rates(given, counted, member, samples, rng)
    table: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        if np.isnan(gaps[i]):
            continue
        high, low = int(np.nanargmax(rates[:, i])), int(np.nanargmin(rates[:, i]))
        known = {name: float(rate) for name, rate in zip(names, rates[:, i], strict=True) if not np.isnan(rate)}
        ends = {"highest": names[high], "lowest": names[low]}
        difference = interval(resampled[:, high, i] - resampled[:, low, i])
        table.append({"label": label, "gap": float(gaps[i]), **difference, **ends, "rates": known})
    table.sort(key=lambda one: one["gap"], reverse=True)
    return {"p_value": p_value, "shown": p_value < LEVEL, "labels": table}


def _rates(given: Array, counted: Array, member: Array) -> Array:
    """Return (groups, labels): the share of a group's counted rows that are given a label, NaN for fewer than MIN_ROWS."""
    n = member.T @ counted
    return np.asarray(np.where(n >= MIN_ROWS, (member.T @ (given * counted)) / np.maximum(n, 1), np.nan))


def _widths(rates: Array) -> Array:
    """Return each label's largest minus smallest rate, NaN where fewer than two groups have one."""
    known = ~np.isnan(rates)
    width = np.where(known, rates, -np.inf).max(axis=0) - np.where(known, rates, np.inf).min(axis=0)
    return np.asarray(np.where(known.sum(axis=0) >= 2, width, np.nan))


def _resampled_rates(given: Array, counted: Array, member: Array, samples: int, rng: np.random.Generator) -> Array:
    """Return (samples, groups, labels): rates on bootstrap resamples of each group's rows."""
    found = np.empty((samples, member.shape[1], given.shape[1]))
    for group in range(member.shape[1]):
        rows = np.flatnonzero(member[:, group])
        hits, count = (given * counted)[rows], counted[rows]
        for sample in range(samples):
            chosen = rng.integers(0, len(rows), len(rows))
            n = count[chosen].sum(axis=0)
            found[sample, group] = np.where(n > 0, hits[chosen].sum(axis=0) / np.maximum(n, 1), np.nan)
    return found
