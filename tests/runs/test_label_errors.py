"""The form of words is part of what the label errors of entities are predicted from."""

import numpy as np

from ft_toolkit.runs.label_errors import word_forms


def test_a_word_has_its_own_form_and_those_of_its_neighbours_in_the_row() -> None:
    forms = word_forms(["Ada", "met", "IBM", "@bo", "McX", "4th", "!", "holidays"], np.array([0, 0, 0, 1, 1, 1, 1, 1]))
    assert forms.shape == (8, 21)
    own, before, after = forms[:, :7], forms[:, 7:14], forms[:, 14:]
    # first letter, all letters and inner letters are capital; digits, mention or hashtag, no letter or digit, over 6 characters
    assert own.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [1, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
    for word in range(8):
        assert (before[word] == (own[word - 1] if word not in (0, 3) else 0)).all()
        assert (after[word] == (own[word + 1] if word not in (2, 7) else 0)).all()
