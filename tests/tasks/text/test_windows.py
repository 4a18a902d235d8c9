"""Windows of long texts: they cover all tokens, have the right size, and assign each token to one window."""

from itertools import pairwise

import numpy as np
import pytest

from ft_toolkit.tasks.text.windows import best_windows, content_span, windows


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("overlap", [0, 1, 4, 100])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 40])
def test_windows_hold_every_token(n, size, overlap):
    found = windows(n, size, overlap)
    assert {i for start, stop in found for i in range(start, stop)} == set(range(n))
    assert all(stop - start <= size for start, stop in found)
    shared = min(overlap, size // 2)
    assert all(one[1] - other[0] == shared for one, other in pairwise(found))
    assert len(found) == 1 or found[-2][1] < n  # none that adds nothing


def test_each_token_belongs_to_the_window_with_most_context():
    found = windows(20, 8, 4)
    assert found == [(0, 8), (4, 12), (8, 16), (12, 20)]
    assert best_windows(20, found).tolist() == [0] * 6 + [1] * 4 + [2] * 4 + [3] * 6
    assert best_windows(3, [(0, 3)]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("n", "size", "overlap"), [(50, 9, 3), (50, 10, 5), (31, 4, 1)])
def test_the_smaller_side_of_a_token_is_as_large_as_it_can_be(n, size, overlap):
    found = windows(n, size, overlap)
    chosen = best_windows(n, found)
    for token in range(n):
        sides = [min(token - start, stop - 1 - token) for start, stop in found]
        assert sides[chosen[token]] == max(sides)
    assert (np.diff(chosen) >= 0).all()


@pytest.mark.parametrize(
    ("mask", "span"),
    [([1, 0, 0, 1], (1, 3)), ([0, 0], (0, 2)), ([1, 1], (2, 2)), ([], (0, 0)), ([1, 0, 1, 0, 1], (1, 4))],
)
def test_the_content_is_between_the_special_tokens(mask, span):
    assert content_span(mask) == span
