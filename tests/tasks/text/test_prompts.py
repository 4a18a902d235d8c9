"""Padding on the left, and tokens that would repeat a sequence."""

from ft_toolkit.tasks.text.prompts import left_padded, repeating_tokens


def test_prompts_end_at_the_same_position() -> None:
    ids, mask = left_padded([[5], [6, 7, 8], []], 0)
    assert ids.tolist() == [[0, 0, 5], [6, 7, 8], [0, 0, 0]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1], [0, 0, 0]]


def test_tokens_that_would_repeat_a_sequence() -> None:
    assert repeating_tokens([1, 2, 3, 1, 2], 3) == [3]
    assert repeating_tokens([1, 2, 1, 3, 1], 2) == [2, 3]
    assert repeating_tokens([1, 2], 1) == [1, 2]
    assert repeating_tokens([1], 3) == repeating_tokens([], 1) == []
