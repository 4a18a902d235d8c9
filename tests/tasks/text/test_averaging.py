"""The average of several models' outputs: probabilities, words of tagged texts, windows."""

import numpy as np
import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.metrics.calibration import probabilities_of
from ft_toolkit.tasks.text.averaging import mean_logits, mean_of_windows, mean_of_words, words_of_rows


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_probabilities_of_the_mean_logits_are_the_mean_probabilities(multi_label: bool) -> None:
    generator = np.random.default_rng(0)
    members = [
        probabilities_of(generator.normal(size=(5, 3)) * 3, multi_label=multi_label, temperature=1.0) for _ in range(3)
    ]
    averaged = probabilities_of(mean_logits(members, multi_label=multi_label), multi_label=multi_label, temperature=1.0)
    np.testing.assert_allclose(averaged, np.mean(members, axis=0), rtol=1e-6)


def test_certain_members_stay_finite() -> None:
    logits = mean_logits([np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])], multi_label=False)
    assert np.isfinite(logits).all() and logits.argmax() == 0


def test_words_are_averaged_over_windows_of_different_models() -> None:
    first = words_of_rows(
        [np.array([[0.0, 0.0], [0.8, 0.2]]), np.array([[0.4, 0.6]])], [0, 0], [[(0, 2, 1)], [(3, 5, 0)]], 1
    )
    second = words_of_rows([np.array([[0.2, 0.8], [0.6, 0.4]])], [0], [[(0, 2, 0), (3, 5, None)]], 1)
    ((one, two),) = mean_of_words([first, second])
    assert one[:2] == (0, 2) and one[2] is not None
    np.testing.assert_allclose(one[2], [0.5, 0.5])
    assert two == (3, 5, None)
    with pytest.raises(ModelError, match="only models with the same tokenizer"):
        mean_of_words([first, words_of_rows([np.ones((1, 2))], [0], [[(0, 5, 0)]], 1)])


def test_windows_must_be_equal() -> None:
    values = [[np.array([[1.0, 3.0]])], [np.array([[3.0, 5.0]])]]
    np.testing.assert_allclose(mean_of_windows(values, [[[1, 2]], [[1, 2]]]), [[[2.0, 4.0]]])
    with pytest.raises(ModelError, match="read the texts in different windows"):
        mean_of_windows(values, [[[1, 2]], [[1, 3]]])
