"""The sentence on over- and underfitting, on curves of each kind."""

import math

import pytest

from ft_toolkit.report.curves import Curves, judge

STEPS = range(10, 130, 10)


def curves(validation, training=None, **facts):
    """Return curves with an evaluation every 20 steps and a training loss every 10 steps."""
    training = training or (lambda step: math.exp(-step / 40))
    evaluated = [(step, validation(step)) for step in range(20, 140, 20)]
    return Curves([(step, training(step)) for step in STEPS], evaluated, **facts)


def test_a_rising_validation_loss_is_overfitting():
    text = judge(curves(lambda step: 0.5 + abs(step - 40) / 400, best_step=40, score="accuracy"))
    assert text.startswith(
        "The validation loss was lowest at step 40 of 120 and rose by 40% after it, while the training loss"
    )
    assert "fell: the model overfits. Fewer epochs" in text
    late_score = judge(curves(lambda step: 0.5 + abs(step - 40) / 400, best_step=120, score="accuracy"))
    assert "The accuracy was still best at step 120, so mainly the probabilities became too certain" in late_score


def test_both_losses_rising_is_divergence():
    text = judge(curves(lambda step: 0.5 + abs(step - 40) / 400, lambda step: 0.2 + step / 100))
    assert "as did the training loss: the training diverges. Lower training.learning_rate." in text


def test_losses_that_still_fall_are_underfitting():
    text = judge(curves(lambda step: 0.2 + math.exp(-step / 60)))
    assert "were still falling at the end (validation by 14% since step 100): the model underfits. Train longer" in text
    assert "no sign" in judge(curves(lambda step: 0.2 + math.exp(-step / 60), stopped_early=True))


def test_a_loss_of_constant_predictions_is_nothing_learned():
    flat = curves(lambda step: 0.69 - step / 1e5, lambda step: 0.692, constant_loss=0.6931)
    assert judge(flat).startswith(
        "The lowest validation loss, 0.689, is hardly below 0.693, the loss of a constant prediction"
    )
    # a small validation set may be harder than the training rows
    assert "learned" not in judge(curves(lambda step: 0.7, lambda step: math.exp(-step / 40), constant_loss=0.6931))


@pytest.mark.parametrize(
    "validation",
    [
        lambda step: 0.3 + math.exp(-step / 15),  # levels off
        lambda step: 0.3 + (0.01 if step == 120 else 0) + math.exp(-step / 15),  # a little noise
        lambda step: 2.0 if step == 20 else 0.001 + step / 1e5,  # near 0, a large relative rise is no trend
        lambda step: 0.0,
    ],
)
def test_a_loss_that_levels_off_is_neither(validation):
    assert judge(curves(validation, constant_loss=0.9)).endswith("no sign of over- or underfitting.")


def test_nothing_is_said_about_fewer_than_three_evaluations():
    assert judge(Curves([(1, 0.5), (2, 0.4)], [(1, 0.5), (2, 0.9)])) is None
    assert judge(Curves([], [])) is None
    assert judge(Curves([], [(1, 0.5), (2, 0.9), (3, 1.2)])) is not None
