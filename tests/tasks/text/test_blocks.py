"""Cutting and packing: every token once, nothing too long."""

import numpy as np
import pytest

from ft_toolkit.tasks.text.blocks import apart, cut, joined, pack


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 100])
def test_pieces_predict_each_token_but_the_first_once(length):
    pieces = cut(length, 8)
    assert all(0 < end - start <= 8 for start, end in pieces)
    assert [place for start, end in pieces for place in range(start + 1, end)] == list(range(1, length))


def test_packing_keeps_order_and_fits():
    rng = np.random.default_rng(1)
    for _ in range(50):
        lengths = rng.integers(1, 12, rng.integers(1, 40)).tolist()
        groups = pack(lengths, 10)
        assert [index for group in groups for index in group] == list(range(len(lengths)))
        assert all(sum(lengths[i] for i in group) <= 10 or len(group) == 1 for group in groups)


ROWS = [[1, 2, 3], [4, 5, 6, 7, 8]]


def test_separate_rows_have_start_and_end_tokens_and_are_cut():
    inputs, spans = apart(ROWS, 100, 101, 6, packed=False)
    assert inputs == {"input_ids": [[100, 1, 2, 3, 101], [100, 4, 5, 6, 7, 8], [8, 101]]}
    assert spans == [[(0, 1, 5)], [(1, 1, 6)], [(1, 1, 2)]]


def test_packed_rows_count_their_own_positions():
    inputs, spans = apart(ROWS, 100, 101, 12, packed=True)
    assert inputs == {
        "input_ids": [[100, 1, 2, 3, 101, 100, 4, 5, 6, 7, 8, 101]],
        "position_ids": [[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]],
    }
    assert spans == [[(0, 1, 5), (1, 6, 12)]]


def test_joined_rows_are_one_text():
    assert joined(ROWS, 100, 6) == (
        {"input_ids": [[100, 1, 2, 3, 4, 5], [5, 6, 7, 8]]},
        [[(0, 1, 4), (1, 4, 6)], [(1, 1, 4)]],
    )
    assert joined([[]], 100, 6) == ({"input_ids": [[100]]}, [[(0, 1, 1)]])
