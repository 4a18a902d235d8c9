"""Calibration against values computed by hand, scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from ft_toolkit.metrics import calibration as c


def sample(several, n=400, labels=4, seed=0, sharpness=3.0):
    """Return logits that are too large by `sharpness`, and a truth drawn from the probabilities without it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, labels))
    honest = c.probabilities_of(logits, multi_label=several)
    truth = (
        (rng.random(honest.shape) < honest).astype(int)
        if several
        else np.array([rng.choice(labels, p=p) for p in honest])
    )
    return logits * sharpness, truth


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("sharpness", [0.4, 3.0])
def test_the_temperature_corrects_an_overconfident_model(several, sharpness):
    logits, truth = sample(several, n=2000, sharpness=sharpness)
    assert c.fit_temperature(logits, truth) == pytest.approx(sharpness, rel=0.1)


@pytest.mark.parametrize("several", [False, True])
def test_the_temperature_is_where_the_likelihood_with_its_prior_is_highest(several):
    logits, truth = sample(several, n=160)

    def cost(logarithm):
        probabilities = c.probabilities_of(logits, multi_label=several, temperature=np.exp(logarithm))
        losses = c.log_losses(probabilities, truth).sum() * (logits.shape[1] if several else 1)
        return losses + c.PRIOR_WEIGHT * logarithm**2 / 2

    best = minimize_scalar(cost, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-9})
    assert c.fit_temperature(logits, truth) == pytest.approx(np.exp(best.x), abs=2e-3)


@pytest.mark.parametrize("several", [False, True])
def test_the_interval_of_the_temperature_is_that_of_the_likelihood_ratio(several):
    logits, truth = sample(several, n=300, sharpness=2.0)
    fitted = c.fit_temperature(logits, truth)

    def cost(temperature):
        probabilities = c.probabilities_of(logits, multi_label=several, temperature=temperature)
        losses = c.log_losses(probabilities, truth).sum() * (logits.shape[1] if several else 1)
        return losses + c.PRIOR_WEIGHT * np.log(temperature) ** 2 / 2

    low, high = c.temperature_interval(logits, truth)
    assert low < fitted < high and low < 2.0 < high
    for end in (low, high):
        assert cost(end) - cost(fitted) == pytest.approx(1.9207, abs=1e-3)


def test_the_interval_of_the_temperature_ends_at_the_range_of_the_temperature():
    logits, truth = np.tile([[9.0, 0.0]], (5000, 1)), np.ones(5000, int)
    low, high = c.temperature_interval(logits, truth)
    assert high == pytest.approx(c.TEMPERATURES[1], rel=1e-3) and 1 < low < high


def test_a_model_that_is_always_right_is_not_made_certain():
    logits = np.tile([[2.0, 0.0]], (100, 1))
    temperature = c.fit_temperature(logits, np.zeros(100, int))
    assert 0.2 < temperature < 1
    assert c.probabilities_of(logits, multi_label=False, temperature=temperature).max() < 0.9999


def test_the_temperature_stays_in_its_bounds():
    wrong = c.fit_temperature(np.tile([[9.0, 0.0]], (5000, 1)), np.ones(5000, int))
    right = c.fit_temperature(np.tile([[0.05, 0.0]], (2000, 1)), np.zeros(2000, int))
    assert (wrong, right) == pytest.approx((c.TEMPERATURES[1], c.TEMPERATURES[0]), rel=1e-4)


def test_a_temperature_whose_interval_contains_1_is_not_used():
    logits, truth = sample(False, n=200, sharpness=1.15)
    low, high = c.temperature_interval(logits, truth)
    assert low < 1 < high and c.fit_temperature(logits, truth) == 1.0


def test_few_rows_have_no_temperature():
    """A calibrated model on 50 rows: a fitted temperature harmed it in 43% of simulations."""
    logits, truth = sample(False, n=200, sharpness=3.0)
    assert c.fit_temperature(logits[:99], truth[:99]) == 1.0
    assert c.fit_temperature(logits[:100], truth[:100]) > 1.3


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_temperature_scaling_can_be_inverted(several, temperature):
    logits, _ = sample(several, n=50, sharpness=1.0)
    after = c.probabilities_of(logits, multi_label=several, temperature=temperature)
    rounded = np.array([[float(f"{p:.6g}") for p in row] for row in after])
    before = c.probabilities_of(logits, multi_label=several)
    assert np.abs(c.at_temperature_1(rounded, temperature, multi_label=several) - before).max() < (
        1e-3 if several else 1e-5
    )


def test_the_error_by_hand():
    said, true = np.array([[0.9], [0.9], [0.9], [0.6], [0.6]]), np.array([[1.0], [1.0], [0.0], [1.0], [0.0]])
    # two bins: 3 examples said 0.9 and 2/3 right; 2 said 0.6 and 1/2 right
    assert c.calibration_error(said, true) == pytest.approx(3 / 5 * (0.9 - 2 / 3) + 2 / 5 * 0.1)


def test_a_bin_includes_its_upper_edge():
    assert c.bin_numbers(np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 1.0])).tolist() == [0, 0, 1, 14]


def test_brier_and_likelihood_are_those_of_scikit_learn():
    logits, truth = sample(False, labels=2)
    probabilities = c.probabilities_of(logits, multi_label=False)
    assert c.log_losses(probabilities, truth).mean() == pytest.approx(log_loss(truth, probabilities))
    # of two labels each is off by as much, and theirs counts one
    assert c.brier_scores(probabilities, truth).mean() == pytest.approx(
        2 * brier_score_loss(truth, probabilities[:, 1])
    )
    logits, marks = sample(True, sharpness=1.0)
    each = c.probabilities_of(logits, multi_label=True)
    assert c.log_losses(each, marks).mean() == pytest.approx(
        np.mean([log_loss(marks[:, i], each[:, i]) for i in range(4)]), rel=1e-6
    )


def test_chance_covers_a_calibrated_model_but_not_an_overconfident_one():
    rng = np.random.default_rng(1)
    said = rng.uniform(0.5, 1, (300, 1))
    limit = np.quantile(c.chance_errors(said, samples=200, seed=0), 0.95)
    errors = [c.calibration_error(said, (rng.random(said.shape) < said).astype(float)) for _ in range(200)]
    assert 0.85 < np.mean(errors < limit) <= 1
    assert c.calibration_error(said, (rng.random(said.shape) < said - 0.2).astype(float)) > limit


def test_selective_errors_start_with_the_highest_confidence():
    errors = c.selective_errors(np.array([0.2, 0.9, 0.8, 0.7]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert errors.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_examples_of_equal_confidence_have_no_order():
    right = np.array([1.0, 1.0, 0.0, 0.0])
    assert (
        c.selective_errors(np.ones(4), right).tolist()
        == c.selective_errors(np.ones(4), right[::-1]).tolist()
        == [0.5] * 4
    )


@pytest.mark.parametrize("multi_label", [False, True])
def test_parts_of_the_rows_give_the_same_scores(multi_label, monkeypatch):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(203, 7)).astype(np.float32)
    truth = rng.integers(0, 2, (203, 7)) if multi_label else rng.integers(0, 7, 203)

    def scores():
        likely = c.probabilities_of(logits, multi_label=multi_label, temperature=1.5)
        before = c.at_temperature_1(likely, 1.5, multi_label=multi_label)
        arrays = (likely, before, c.logits_of(likely, multi_label=multi_label), c.brier_scores(likely, truth))
        return arrays, c.fit_temperature(logits * 9, truth), c.temperature_interval(logits, truth)

    at_once = scores()
    monkeypatch.setattr(c, "_PART", 70)
    parts = scores()
    assert all(np.array_equal(one, other) for one, other in zip(at_once[0], parts[0], strict=True))
    assert parts[1] == at_once[1]
    assert parts[2] == pytest.approx(at_once[2])
    small = c.at_temperature_1(at_once[0][0].astype(np.float32), 1.5, multi_label=multi_label)
    assert small.dtype == np.float32
    assert small == pytest.approx(at_once[0][1], abs=1e-5)
