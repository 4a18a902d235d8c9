"""Comparison with scikit-learn on random cases, and values computed by hand."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from ft_toolkit.metrics import classification as ours

SCORES = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}


def single_label_cases():
    """Binary and many classes, good and bad predictions, and classes missing on one side or on both."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n_labels = int(rng.choice([2, 2, 3, 7, 40]))
        n = int(rng.choice([1, 2, 5, 30, 200]))
        used = rng.choice(n_labels, size=rng.integers(1, n_labels + 1), replace=False)
        references = rng.choice(used, size=n)
        noise = rng.random(n) < rng.choice([0.0, 0.2, 0.7, 1.0])
        predictions = np.where(noise, rng.integers(0, n_labels, n), references)
        yield pytest.param(predictions, references, n_labels, id=f"seed{seed}")
    for predicted, true in [(0, 0), (1, 1), (0, 1), (1, 0)]:
        yield pytest.param(np.full(4, predicted), np.full(4, true), 2, id=f"all {predicted} for {true}")


def multi_label_cases():
    for seed in range(40):
        rng = np.random.default_rng(1000 + seed)
        n, n_labels = int(rng.choice([1, 3, 50])), int(rng.choice([2, 3, 12]))
        references = (rng.random((n, n_labels)) < rng.choice([0.0, 0.2, 0.6, 1.0])).astype(int)
        predictions = (rng.random((n, n_labels)) < rng.choice([0.0, 0.3, 1.0])).astype(int)
        yield pytest.param(predictions, references, id=f"seed{seed}")
        yield pytest.param(references, references, id=f"seed{seed}, perfect")


@pytest.mark.parametrize(("predictions", "references", "n_labels"), list(single_label_cases()))
def test_single_label_scores_are_those_of_scikit_learn(predictions, references, n_labels):
    averages = [a for a in ours.AVERAGES if a != "binary" or n_labels == 2]
    for score, theirs in SCORES.items():
        for average in averages:
            expected = theirs(references, predictions, average=average, zero_division=0)
            assert ours.averaged(score, average)(predictions, references) == pytest.approx(expected, abs=1e-12), (
                score,
                average,
            )
    assert ours.accuracy(predictions, references) == sk.accuracy_score(references, predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where all predictions and references are one class
        expected = sk.matthews_corrcoef(references, predictions)
        matrix = sk.confusion_matrix(references, predictions, labels=range(n_labels))
    assert ours.matthews_correlation(predictions, references) == pytest.approx(expected, abs=1e-12)
    assert (ours.confusion_matrix(predictions, references, n_labels) == matrix).all()


@pytest.mark.parametrize(("predictions", "references", "n_labels"), list(single_label_cases()))
def test_the_per_class_scores_are_those_of_scikit_learn(predictions, references, n_labels):
    matrix = ours.confusion_matrix(predictions, references, n_labels)
    found = ours.precision_recall_f1(np.diag(matrix), matrix.sum(0), matrix.sum(1))
    expected = sk.precision_recall_fscore_support(references, predictions, labels=range(n_labels), zero_division=0)
    np.testing.assert_allclose(np.array(found), np.array(expected[:3]), atol=1e-12)
    assert (matrix.sum(1) == expected[3]).all()


@pytest.mark.parametrize(("predictions", "references"), list(multi_label_cases()))
def test_multi_label_scores_are_those_of_scikit_learn(predictions, references):
    for score, theirs in SCORES.items():
        for average in ("macro", "micro", "weighted"):
            expected = theirs(references, predictions, average=average, zero_division=0)
            assert ours.averaged(score, average)(predictions, references) == pytest.approx(expected, abs=1e-12)
    assert ours.accuracy(predictions, references) == sk.accuracy_score(references, predictions)
    found = ours.precision_recall_f1(*ours.label_counts(predictions, references))
    expected = sk.precision_recall_fscore_support(references, predictions, average=None, zero_division=0)
    np.testing.assert_allclose(np.array(found), np.array(expected[:3]), atol=1e-12)


def test_values_by_hand():
    references = np.array([0, 0, 0, 1, 1, 2])
    predictions = np.array([0, 0, 1, 1, 2, 2])
    assert ours.accuracy(predictions, references) == pytest.approx(4 / 6)
    assert ours.confusion_matrix(predictions, references, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert ours.averaged("recall", "macro")(predictions, references) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert ours.averaged("f1", "micro")(predictions, references) == pytest.approx(4 / 6)


def test_a_class_that_no_side_has_does_not_count_in_the_average():
    references, predictions = np.array([0, 3, 3]), np.array([0, 3, 3])
    assert ours.averaged("f1", "macro")(predictions, references) == 1.0


def test_the_exact_set_counts_for_several_labels():
    references = np.array([[1, 0, 1], [0, 1, 0]])
    predictions = np.array([[1, 0, 0], [0, 1, 0]])
    assert ours.accuracy(predictions, references) == 0.5


@pytest.mark.parametrize("average", ours.AVERAGES)
@pytest.mark.parametrize("score", SCORES)
def test_scores_are_plain_floats_between_0_and_1(score, average):
    rng = np.random.default_rng(0)
    value = ours.averaged(score, average)(rng.integers(0, 2, 50), rng.integers(0, 2, 50))
    assert type(value) is float
    assert 0 <= value <= 1


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="not in"):
        ours.averaged("f2", "macro")
