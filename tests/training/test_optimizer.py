"""The learning rate as a function of the step, and the parameter groups of AdamW."""

import itertools
import math

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from ft_toolkit.recipe.sections import TrainingSection
from ft_toolkit.training.optimizer import LearningRate, make_optimizer, trainable_parameters


def rates(schedule, *, total=100, warmup_ratio=0.0, peak=2e-4):
    learning_rate = LearningRate(peak, total, warmup_ratio, schedule)
    return [learning_rate.at(step) for step in range(total)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(
    ("total", "warmup_ratio", "warmup"), [(100, 0.1, 10), (7, 0.06, 1), (1000, 0.5, 500), (1, 0.06, 1)]
)
def test_warm_up_rises_in_equal_steps_from_above_zero_to_the_peak(schedule, total, warmup_ratio, warmup):
    found = [*rates(schedule, total=total, warmup_ratio=warmup_ratio), 0.0]
    rise = [high - low for low, high in zip([0.0, *found], found[:warmup], strict=False)]
    assert min(found[:-1]) > 0
    assert rise == pytest.approx([2e-4 / (warmup + 1)] * warmup)
    assert found[warmup] == (2e-4 if total > warmup else 0.0)


def test_linear_falls_by_the_same_amount_to_one_step_before_zero():
    found = rates("linear", warmup_ratio=0.2)
    falls = [high - low for high, low in itertools.pairwise(found[20:])]
    assert falls == pytest.approx([2e-4 / 80] * 79)
    assert found[-1] == pytest.approx(2e-4 / 80)


def test_cosine_falls_along_half_a_wave():
    found = rates("cosine", total=101, warmup_ratio=0.0)
    assert found[0] == 2e-4
    assert found[50] == pytest.approx(1e-4, rel=0.02)
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < 1e-6
    assert found[25] == pytest.approx(1e-4 * (1 + math.cos(math.pi * 25 / 101)))


def test_constant_stays_at_the_peak():
    assert set(rates("constant", warmup_ratio=0.1)[10:]) == {2e-4}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_step_after_the_last_and_later_ones_have_zero(schedule):
    for step in (100, 101, 1000):
        rate = LearningRate(1.0, 100, 0.06, schedule).at(step)
        assert rate == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 137])
@pytest.mark.parametrize(
    ("schedule", "theirs"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
)
def test_without_warm_up_the_rate_equals_that_of_transformers(schedule, theirs, total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
    scheduler = theirs(optimizer, num_warmup_steps=0, num_training_steps=total)
    expected = []
    for _ in range(total):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates(schedule, total=total) == pytest.approx(expected, rel=1e-12, abs=1e-18)


def section(**values):
    return TrainingSection(examples_per_batch=1, **values)


class Toy(torch.nn.Module):
    base_model_prefix = "linear"

    def __init__(self):
        super().__init__()
        self.frozen = torch.nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.LayerNorm(2)


def test_matrices_decay_and_biases_norms_and_frozen_weights_do_not():
    model = Toy()
    optimizer = make_optimizer(model, section(weight_decay=0.5), [])
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    assert [id(p) for p in decayed["params"]] == [id(model.linear.weight)]
    assert {id(p) for p in plain["params"]} == {id(p) for p in (model.linear.bias, model.norm.weight, model.norm.bias)}
    assert [name for name, _ in trainable_parameters(model)] == [
        "linear.weight",
        "linear.bias",
        "norm.weight",
        "norm.bias",
    ]


def test_one_step_without_gradient_shrinks_matrices_only():
    model = Toy()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _, parameter in trainable_parameters(model):
        parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer(model, section(weight_decay=0.5), [])
    assert LearningRate(0.1, 1).apply(0, optimizer) == 0.1
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if name == "linear.weight" else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


def test_a_model_without_biases_has_one_group():
    optimizer = make_optimizer(torch.nn.Linear(2, 2, bias=False), section(weight_decay=0.1), [])
    assert len(optimizer.param_groups) == 1


def test_each_factor_has_its_groups_in_which_matrices_alone_decay():
    model = Toy()
    training = section(weight_decay=0.5, learning_rate=0.1, head_learning_rate=0.05)
    optimizer = make_optimizer(model, training, ["norm"])
    assert LearningRate(0.1, 1).apply(0, optimizer) == 0.1
    groups = [(g["lr_factor"], g["weight_decay"], g["lr"], len(g["params"])) for g in optimizer.param_groups]
    assert groups == [(1.0, 0.5, 0.1, 1), (1.0, 0.0, 0.1, 1), (0.5, 0.0, 0.05, 2)]
