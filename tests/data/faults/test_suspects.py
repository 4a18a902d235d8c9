"""Wrong labels are found by the other rows, and the stated precision holds for new plantings."""

import numpy as np
import pytest

from ft_toolkit.data.faults.suspects import PLANTED, LabelModel, find_suspects, plant


def clusters(n: int, n_labels: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length 1 around one center per label, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_labels, n)
    vectors = rng.normal(size=(n_labels, 24))[labels] + noise * rng.normal(size=(n, 24))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


@pytest.mark.parametrize("n_labels", [2, 7])
def test_changed_labels_come_first_with_their_true_labels(n_labels: int) -> None:
    vectors, labels = clusters(600, n_labels, noise=0.5)
    changed, is_changed = plant(labels, n_labels, np.random.default_rng(1))
    suspects = find_suspects(vectors, changed, np.arange(600), 25, seed=0)
    assert is_changed[suspects.rows].mean() >= 0.9
    right = suspects.suggested[is_changed[suspects.rows]] == labels[suspects.rows[is_changed[suspects.rows]]]
    assert right.mean() >= 0.9
    assert suspects.bound <= suspects.mean


def test_clean_labels_have_no_suspects() -> None:
    vectors, labels = clusters(400, 3, noise=0.05)
    assert len(find_suspects(vectors, labels, np.arange(400), 50, seed=0).rows) == 0


def test_a_copy_with_the_same_wrong_label_does_not_hide_it() -> None:
    vectors, labels = clusters(300, 2, noise=0.3)
    labels[0] = 1 - labels[0]
    vectors, labels = np.vstack([vectors, np.repeat(vectors[:1], 9, 0)]), np.append(labels, np.repeat(labels[:1], 9))
    groups = np.append(np.arange(300), np.zeros(9, int))
    apart = LabelModel(vectors, np.arange(309), 2, seed=0).scores(labels, 0.1)
    together = LabelModel(vectors, groups, 2, seed=0).scores(labels, 0.1)
    assert together[0, labels[0]] < apart[0, labels[0]]
    assert set(find_suspects(vectors, labels, groups, 10, seed=0).rows.tolist()) >= {0, *range(300, 309)}


def test_the_bound_holds_for_new_plantings() -> None:
    vectors, labels = clusters(800, 4, noise=1.6)
    suspects = find_suspects(vectors, labels, np.arange(800), 30, seed=0)
    assert 0 < suspects.bound < 30
    confirmed = 0
    for repetition in range(30):
        changed, is_changed = plant(labels, 4, np.random.default_rng((7, repetition)))
        first = find_first(vectors, changed, 30)
        confirmed += int(is_changed[first].sum()) >= suspects.bound
    assert confirmed >= 27


def find_first(vectors: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """Return the first suspects as an audit of rows with these labels would."""
    return find_suspects(vectors, labels, np.arange(len(labels)), most, seed=0).rows


def test_a_planting_changes_the_stated_share_to_other_labels() -> None:
    labels = np.zeros(1000, int)
    changed, is_changed = plant(labels, 3, np.random.default_rng(0))
    assert is_changed.sum() == PLANTED * 1000
    assert (changed != labels).tolist() == is_changed.tolist()
    assert set(changed.tolist()) == {0, 1, 2}
