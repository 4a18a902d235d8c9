"""Wrong labels are found by the other rows, and the stated precision holds for new plantings."""

from math import comb
from typing import Any

import numpy as np
import pytest

from ft_toolkit.data.faults.label_tables import PLANTED, LabelSets, SingleLabels, SpanLabels
from ft_toolkit.data.faults.suspects import BOUND_RANK, PLANTINGS, LabelModel, count_planted, find_suspects


def clusters(n: int, n_labels: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length 1 around one center per label, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_labels, n)
    vectors = rng.normal(size=(n_labels, 24))[labels] + noise * rng.normal(size=(n, 24))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


@pytest.mark.parametrize("n_labels", [2, 7])
def test_changed_labels_come_first_with_their_true_labels(n_labels: int) -> None:
    vectors, labels = clusters(600, n_labels, noise=0.5)
    planted, is_changed = named(labels, n_labels).plant(np.random.default_rng(1))
    suspects = find_suspects(vectors, planted, np.arange(600), 25, seed=0)
    assert is_changed[suspects.rows].mean() >= 0.9
    pairs = [
        (label, str(labels[row])) for row, label in zip(suspects.rows, suspects.labels, strict=True) if is_changed[row]
    ]
    assert np.mean([suggested == true for suggested, true in pairs]) >= 0.9
    assert suspects.bound <= suspects.mean


def test_clean_labels_have_no_suspects() -> None:
    vectors, labels = clusters(400, 3, noise=0.05)
    assert len(find_suspects(vectors, named(labels, 3), np.arange(400), 50, seed=0).rows) == 0


def test_a_copy_with_the_same_wrong_label_does_not_hide_it() -> None:
    vectors, labels = clusters(300, 2, noise=0.3)
    labels[0] = 1 - labels[0]
    vectors, labels = np.vstack([vectors, np.repeat(vectors[:1], 9, 0)]), np.append(labels, np.repeat(labels[:1], 9))
    groups = np.append(np.arange(300), np.zeros(9, int))
    table = named(labels, 2)
    apart = LabelModel(vectors, np.arange(309), seed=0).scores(table.targets, 0.1)
    together = LabelModel(vectors, groups, seed=0).scores(table.targets, 0.1)
    assert together[0, labels[0]] < apart[0, labels[0]]
    assert set(find_suspects(vectors, table, groups, 10, seed=0).rows.tolist()) >= {0, *range(300, 309)}


def test_the_bound_holds_for_new_plantings() -> None:
    vectors, labels = clusters(800, 4, noise=1.6)
    table = named(labels, 4)
    suspects = find_suspects(vectors, table, np.arange(800), 30, seed=0)
    assert 0 < suspects.bound < 30
    confirmed = 0
    for repetition in range(30):
        changed, is_changed = table.plant(np.random.default_rng((7, repetition)))
        # a complete audit of rows with these labels
        model = LabelModel(vectors, np.arange(800), seed=0)
        first = model.rank(changed, model.choose_penalty(changed))[0][:30]
        confirmed += int(is_changed[first].sum()) >= suspects.bound
    assert confirmed >= 27


def test_nine_of_ten_new_plantings_confirm_the_bound_with_a_confidence_of_99_percent() -> None:
    # the share is below 0.9 if fewer than BOUND_RANK of the counts are among the smallest tenth of all possible counts
    unlucky = sum(comb(PLANTINGS, n) * 0.1**n * 0.9 ** (PLANTINGS - n) for n in range(BOUND_RANK))
    assert 0.005 < unlucky <= 0.01


def test_the_bound_is_the_third_smallest_count() -> None:
    vectors, labels = clusters(800, 4, noise=1.6)
    table = named(labels, 4)
    suspects = find_suspects(vectors, table, np.arange(800), 30, seed=5)
    counts = [
        count_planted(suspects.model, suspects.penalty, table, 30, np.random.default_rng((5, planting)))
        for planting in range(PLANTINGS)
    ]
    assert len(suspects.rows) == 30
    assert sum(count < suspects.bound for count in counts) < BOUND_RANK <= sum(c <= suspects.bound for c in counts)
    assert min(counts) < suspects.bound < suspects.mean


def test_the_bound_is_at_most_the_number_of_suspects() -> None:
    vectors, labels = clusters(400, 3, noise=0.05)
    labels[:3] = (labels[:3] + 1) % 3
    suspects = find_suspects(vectors, named(labels, 3), np.arange(400), 15, seed=0)
    assert len(suspects.rows) == 3 and 0 < suspects.bound <= suspects.mean <= 3


def test_a_planting_changes_the_stated_share_to_other_labels() -> None:
    labels = np.zeros(1000, int)
    changed, is_changed = named(labels, 3).plant(np.random.default_rng(0))
    assert is_changed.sum() == PLANTED * 1000
    assert (changed.labels != labels).tolist() == is_changed.tolist()
    assert set(changed.labels.tolist()) == {0, 1, 2}


def named(labels: np.ndarray, n_labels: int) -> SingleLabels:
    """Return labels with their numbers as names."""
    return SingleLabels(labels, [str(number) for number in range(n_labels)])


def label_sets(n: int, seed: int = 0) -> tuple[np.ndarray, LabelSets]:
    """Return vectors of length 1 that are sums of the centers of their labels, and sets of three labels, one of them rare."""
    rng = np.random.default_rng(seed)
    present = (rng.random((n, 3)) < [0.5, 0.3, 0.1]).astype(np.int8)
    vectors = present @ rng.normal(size=(3, 24)) + 0.4 * rng.normal(size=(n, 24))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), LabelSets(present, ["a", "b", "rare"])


def test_labels_that_are_added_to_or_removed_from_sets_come_first() -> None:
    vectors, table = label_sets(900)
    changed, is_changed = table.plant(np.random.default_rng(1))
    assert is_changed.sum() == PLANTED * 900
    assert (np.abs(changed.present - table.present).sum(1) == is_changed).all()
    differences = changed.present.astype(int) - table.present
    assert 0.3 < (differences == 1).sum() / is_changed.sum() < 0.8  # some are added, others removed
    suspects = find_suspects(vectors, changed, np.arange(900), 30, seed=0)
    assert is_changed[suspects.rows].mean() >= 0.8 and set(suspects.labels) == {None}
    row = next(row for row in suspects.rows if is_changed[row])
    label = int(np.flatnonzero(differences[row])[0])
    detail = suspects.details[suspects.rows.tolist().index(row)]
    word = "without" if differences[row, label] == 1 else "also"
    assert detail == f"the other rows suggest {word} {changed.names[label]!r}"


def spans(n_rows: int, seed: int = 0) -> tuple[np.ndarray, SpanLabels, np.ndarray]:
    """Return vectors of 8 words per row around the center of their type, the spans of two types, and the row of each word."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n_rows), 8)
    found = []
    for row in range(0, n_rows, 2):
        first = 8 * row + int(rng.integers(0, 3))
        found.append((first, first + int(rng.integers(1, 4)), 1 + int(rng.integers(2))))
        if row % 4 == 0:
            found.append((8 * row + 6, 8 * row + 8, 1 + int(rng.integers(2))))
    table = SpanLabels(n_rows, rows, np.array(found), ["outside", "person", "place"], ["w"] * len(rows))
    vectors = rng.normal(size=(3, 24))[table.labels] + 0.5 * rng.normal(size=(len(rows), 24))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), table, rows


def test_changed_spans_come_first() -> None:
    vectors, table, rows = spans(800)
    changed, is_changed = table.plant(np.random.default_rng(3))
    assert is_changed.sum() == PLANTED * 400  # of the rows with spans
    differing = np.unique(rows[changed.labels != table.labels])
    assert differing.tolist() == np.flatnonzero(is_changed).tolist()
    for first, stop, kind in changed.spans:
        assert first < stop and rows[first] == rows[stop - 1] and kind in (1, 2)
    suspects = find_suspects(vectors, changed, rows, 20, seed=0)
    assert is_changed[suspects.rows].mean() >= 0.8 and len(set(suspects.rows.tolist())) == 20
    assert "instead of" in suspects.details[0] and "for the word 'w'" in suspects.details[0]


def test_changed_spans_of_rare_types_come_first() -> None:
    rng = np.random.default_rng(2)
    rows = np.repeat(np.arange(600), 10)
    firsts = [10 * row + int(rng.integers(10)) for row in range(0, 600, 3)]
    rare = np.array([(first, first + 1, 1 + int(rng.random() < 0.2)) for first in firsts])  # 2.7% and 0.7% of the words
    table = SpanLabels(600, rows, rare, ["outside", "person", "place"], ["w"] * len(rows))
    vectors = rng.normal(size=(3, 24))[table.labels] + rng.normal(size=(len(rows), 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    model = LabelModel(vectors, rows, seed=0)
    penalty = model.choose_penalty(table)
    counts = [count_planted(model, penalty, table, 10, np.random.default_rng(seed)) for seed in range(10)]
    assert np.mean(counts) >= 9.5  # 3.7 if words are ranked by the difference of their scores


def test_every_kind_of_change_of_a_span_is_planted() -> None:
    _, table, rows = spans(400)
    kinds = set()
    for seed in range(6):
        changed, is_changed = table.plant(np.random.default_rng(seed))
        for row in np.flatnonzero(is_changed):
            old, new = ({tuple(s) for s in each.spans.tolist() if rows[s[0]] == row} for each in (table, changed))
            (lost,), gained = old - new, new - old
            if not gained:
                kinds.add("drop")
            else:
                ((first, stop, kind),) = gained
                kinds.add("type" if kind != lost[2] else "longer" if stop - first > lost[1] - lost[0] else "shorter")
                assert (kind != lost[2]) == ((first, stop) == lost[:2])
    assert kinds == {"drop", "type", "longer", "shorter"}


@pytest.mark.parametrize("make", [label_sets, spans])
def test_the_bound_holds_for_sets_and_spans(make: Any) -> None:
    vectors, table, *rest = make(800)
    groups = rest[0] if rest else np.arange(800)
    table, _ = table.plant(np.random.default_rng(6))  # without wrong labels there are no suspects
    suspects = find_suspects(vectors, table, groups, 20, seed=0)
    assert len(suspects.rows) == 20 and suspects.bound > 0
    counts = [
        count_planted(suspects.model, suspects.penalty, table, 20, np.random.default_rng((7, repetition)))
        for repetition in range(30)
    ]
    assert sum(count >= suspects.bound for count in counts) >= 27
