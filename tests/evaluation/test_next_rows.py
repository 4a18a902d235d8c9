"""The rows to label next: uncertain rows, different rows, and both, on vectors made by hand."""

import numpy as np
import pytest

from ft_toolkit.evaluation.next_rows import (
    CANDIDATES,
    choose_both,
    choose_diverse,
    choose_uncertain,
    uncertainties,
)


def three_clusters() -> np.ndarray:
    """Return 30 vectors near (0, 0), 20 near (10, 0) and 10 near (0, 10); the first of each is the centre."""
    centres = np.repeat([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], [30, 20, 10], axis=0)
    offsets = np.random.default_rng(0).normal(0, 0.5, centres.shape)
    offsets[[0, 30, 50]] = 0
    return centres + offsets


def test_the_uncertainty_of_a_row_is_the_difference_of_its_two_most_likely_labels() -> None:
    likely = np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.2, 0.4, 0.4]])
    assert uncertainties(likely) == pytest.approx([0.9, 0.3, 1.0])


def test_the_most_uncertain_rows_are_first_and_ties_keep_their_order() -> None:
    chosen = choose_uncertain(np.array([0.2, 0.9, 0.5, 0.9]), 3)
    assert chosen.rows.tolist() == [1, 3, 2] and chosen.similar is None


def test_diversity_takes_a_row_of_each_cluster_and_the_largest_cluster_first() -> None:
    chosen = choose_diverse(three_clusters(), 3, seed=0)
    assert chosen.similar is not None and chosen.similar.tolist() == [30, 20, 10]
    assert [int(np.searchsorted([30, 50], row, side="right")) for row in chosen.rows] == [0, 1, 2]
    assert choose_diverse(three_clusters(), 3, seed=0).rows.tolist() == chosen.rows.tolist()


def test_both_takes_uncertain_rows_of_different_clusters() -> None:
    vectors = np.repeat(three_clusters(), 10, axis=0)  # 600 rows
    uncertainty = np.where(np.arange(600) % 2, 0.9, 0.1)
    uncertainty[500:] = 0.05  # no row of the third cluster is uncertain
    asked: list[int] = []

    def embed(rows: np.ndarray) -> np.ndarray:
        asked.extend(rows.tolist())
        return vectors[rows]

    chosen = choose_both(uncertainty, embed, 20, seed=0)
    assert len(asked) == CANDIDATES * 20  # only the candidates are embedded
    assert len(set(chosen.rows.tolist())) == 20 and (uncertainty[chosen.rows] == 0.9).all()
    assert {row // 300 for row in chosen.rows.tolist()} == {0, 1}


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_pool_that_is_smaller_than_k_is_chosen_completely(n: int) -> None:
    vectors, uncertainty = np.ones((n, 2)), np.zeros(n)  # equal vectors, and a model that is sure of every row
    assert sorted(choose_diverse(vectors, 5, seed=0).rows.tolist()) == list(range(n))
    assert sorted(choose_both(uncertainty, lambda rows: vectors[rows], 5, seed=0).rows.tolist()) == list(range(n))
    assert choose_uncertain(uncertainty, 5).rows.tolist() == list(range(n))
