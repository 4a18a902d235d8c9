"""Thresholds: the best ones are found, equal those of an exhaustive search, and are not chosen where they do not help."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from ft_toolkit.metrics.thresholds import (
    MULTI_LABEL,
    TWO_CLASSES,
    _Counts,
    _fit_each_label,
    _fit_micro_f1,
    _label_score,
    _score,
    tune_thresholds,
)

THEIRS = {
    "accuracy": sk.accuracy_score,
    "f1_binary": sk.f1_score,
    "f1_macro": lambda t, p: sk.f1_score(t, p, average="macro", zero_division=0, labels=[0, 1]),
    "recall_macro": lambda t, p: sk.recall_score(t, p, average="macro", zero_division=0, labels=[0, 1]),
    "matthews_correlation": sk.matthews_corrcoef,
}


def simulated(seed, n, shares, signal=1.5):
    """Return probabilities (n, labels) that are too small for rare labels, and the labels."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, len(shares))) < shares).astype(int)
    logits = rng.normal(0, 1, truth.shape) + signal * truth - 2.5
    return 1 / (1 + np.exp(-logits)), truth


@pytest.mark.parametrize("metric", TWO_CLASSES)
def test_scores_and_best_thresholds_of_two_classes_are_those_of_an_exhaustive_search(metric):
    for seed in range(2):
        probabilities, truth = simulated(seed, 40, [0.3])
        probabilities = probabilities.round(1)  # many equal values
        cuts = [-0.05, *np.unique(probabilities), 1.05]
        by_hand = {t: THEIRS[metric](truth[:, 0], (probabilities[:, 0] >= t).astype(int)) for t in cuts}
        for t, expected in by_hand.items():
            found = _score(metric, probabilities >= t, truth, is_multi_label=False)
            assert found == pytest.approx(expected, abs=1e-12)
        threshold = _fit_each_label(_label_score(metric, is_multi_label=False), probabilities, truth)
        best = _score(metric, probabilities >= threshold, truth, is_multi_label=False)
        assert best == pytest.approx(max(by_hand.values()), abs=1e-12)


@pytest.mark.parametrize(("metric", "average"), [("f1_micro", "micro"), ("f1_macro", "macro")])
def test_thresholds_of_several_labels_are_those_of_an_exhaustive_search(metric, average):
    for seed in range(3):
        probabilities, truth = simulated(seed, 7, [0.2, 0.5, 0.4])
        fit = _fit_micro_f1 if metric == "f1_micro" else lambda p, t: _fit_each_label(_Counts.f1, p, t)
        chosen = probabilities >= fit(probabilities, truth)
        found = _score(metric, chosen, truth, is_multi_label=True)
        assert found == pytest.approx(sk.f1_score(truth, chosen, average=average, zero_division=0), abs=1e-12)
        grids = [[*np.unique(probabilities[:, label]), 1.0] for label in range(3)]
        scores = [
            _score(metric, probabilities >= np.array(c), truth, is_multi_label=True) for c in itertools.product(*grids)
        ]
        assert found == pytest.approx(max(scores), abs=1e-12)


@pytest.mark.parametrize("metric", MULTI_LABEL)
def test_tuned_thresholds_raise_the_score_on_new_rows(metric):
    average = metric.removeprefix("f1_")
    gains, optimism, estimated = [], [], []
    for seed in range(4):
        probabilities, truth = simulated(seed, 300, [0.05, 0.1, 0.3, 0.5])
        new, new_truth = simulated(seed + 100, 3000, [0.05, 0.1, 0.3, 0.5])
        chosen, tuning = tune_thresholds(probabilities, truth, metric)
        after = sk.f1_score(new_truth, new >= np.array(chosen), average=average)
        gains.append(after - sk.f1_score(new_truth, new >= 0.5, average=average))
        optimism.append(tuning.fitted - after)
        estimated.append(tuning.fitted - tuning.cross_validated)
        assert tuning.rows == 300 and tuning.cross_validated > tuning.default
    assert min(gains) > 0.05
    # on average, cross-validation estimates the optimism
    assert np.mean(estimated) == pytest.approx(np.mean(optimism), abs=0.02)


def test_thresholds_that_do_not_help_stay_at_one_half():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 200)
    probabilities = np.where(truth == 1, 0.9, 0.1) + rng.normal(0, 0.01, 200)
    chosen, tuning = tune_thresholds(probabilities, truth, "f1_macro")
    assert chosen == (0.5,)
    assert (tuning.default, tuning.fitted, tuning.cross_validated) == (1.0, 1.0, 1.0)
    for n in (1, 2, 3):  # few rows, also of one class
        assert len(tune_thresholds(probabilities[:n, None], truth[:n, None], "f1_micro")[0]) == 1
