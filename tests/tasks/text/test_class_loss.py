"""Class weights, focal loss and label smoothing, compared with the formulas and with PyTorch."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Batch
from ft_toolkit.tasks.text.class_loss import (
    count_multi_label,
    count_single_label,
    multi_label_loss_sum,
    presence_weights,
    single_label_loss_sum,
    weights_of,
)
from ft_toolkit.tasks.text.token_targets import IGNORED


@dataclass(frozen=True)
class Options:
    class_weights: tuple[float, ...] | None = None
    absent_weights: tuple[float, ...] | None = None
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0


WEIGHTS, ABSENT = (0.5, 1.0, 3.0), (1.5, 0.75, 0.6)
OPTIONS = [
    Options(weights, absent, gamma, smoothing)
    for weights, absent in ((None, None), (WEIGHTS, ABSENT))
    for gamma in (0.0, 0.5, 2.0)
    for smoothing in (0.0, 0.1)
]


@pytest.fixture
def logits():
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1)) * 2


def expected_loss(logits, target, weight, options):
    """The formula for one target of a softmax, in numpy."""
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    q = np.full(len(p), options.label_smoothing / len(p))
    q[target] += 1 - options.label_smoothing
    return weight * (q * (1 - p) ** options.focal_gamma * -np.log(p)).sum()


@pytest.mark.parametrize("options", OPTIONS)
def test_the_loss_of_single_labels_is_the_formula(logits, options):
    targets = torch.tensor([0, 1, 2, IGNORED, 2, 0, IGNORED])
    weights = options.class_weights or (1.0, 1.0, 1.0)
    real = [(row.double().numpy(), t) for row, t in zip(logits, targets.tolist(), strict=True) if t != IGNORED]
    expected = sum(expected_loss(row, target, weights[target], options) for row, target in real)
    assert float(single_label_loss_sum(logits, targets, options)) == pytest.approx(expected, rel=1e-5)
    assert count_single_label(targets, options) == pytest.approx(sum(weights[target] for _, target in real))


@pytest.mark.parametrize("options", OPTIONS)
def test_the_loss_of_several_labels_is_the_formula_for_each_label(logits, options):
    targets = torch.tensor([[1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]]).float()
    present, absent = options.class_weights or (1.0,) * 3, options.absent_weights or (1.0,) * 3
    expected = count = 0.0
    for row, row_targets in zip(logits.double().numpy(), targets.numpy(), strict=True):
        for label, is_present in enumerate(row_targets):
            weight = present[label] if is_present else absent[label]
            expected += expected_loss(np.array([0.0, row[label]]), int(is_present), weight, options)
            count += weight
    assert float(multi_label_loss_sum(logits, targets, options)) == pytest.approx(expected, rel=1e-5)
    assert count_multi_label(targets, options) == pytest.approx(count)


def test_without_weights_the_smoothed_loss_is_that_of_pytorch(logits):
    targets = torch.tensor([0, 1, 2, 0, 2, 0, 1])
    theirs = functional.cross_entropy(logits, targets, label_smoothing=0.2, reduction="sum")
    assert float(single_label_loss_sum(logits, targets, Options(label_smoothing=0.2))) == pytest.approx(float(theirs))


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_finite_for_certain_predictions(options):
    logits = torch.tensor([[200.0, 0.0, -200.0], [-200.0, 0.0, 200.0]], requires_grad=True)
    single_label_loss_sum(logits, torch.tensor([0, 0]), options).backward()
    assert torch.isfinite(logits.grad).all()
    logits.grad = None
    multi_label_loss_sum(logits, torch.tensor([[1.0, 0, 0], [1, 0, 0]]), options).backward()
    assert torch.isfinite(logits.grad).all()


def test_balanced_weights_are_those_of_scikit_learn_and_sqrt_is_between_them_and_1():
    counts = [60, 30, 10]
    labels = np.repeat(np.arange(3), counts)
    balanced = weights_of("balanced", counts, "abc", "the label")
    assert balanced == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    root = weights_of("sqrt", counts, "abc", "the label")
    assert root[2] / root[0] == pytest.approx((balanced[2] / balanced[0]) ** 0.5)
    for weights in (balanced, root):
        assert np.dot(weights, counts) == pytest.approx(sum(counts))


def test_presence_weights_are_balanced_for_each_label():
    present, absent = presence_weights("balanced", [10, 50, 100], 100, "abc")
    assert present == pytest.approx((5.0, 1.0, 1.0))
    assert absent == pytest.approx((50 / 90, 1.0, 1.0))
    with pytest.raises(DataError, match=r"task\.class_weights=sqrt: no training row has the label 'b'"):
        presence_weights("sqrt", [10, 0], 100, "ab")


def test_entities_are_weighted_by_the_words_of_their_type():
    task = find_tasks()["ner"]
    tokens = ["Anna", "Berg", "met", "Bo", "in", "Oslo", "on", "Monday"]
    rows = [{"tokens": tokens, "tags": ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "O", "O"]}]
    read, _ = task.read_rows(rows, None, "rows")
    schema = task.find_schema(task.settings(class_weights="balanced"), read, None, None)
    assert schema.tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    outside, place, person = 8 / (3 * 4), 8 / (3 * 1), 8 / (3 * 3)
    assert schema.class_weights == pytest.approx((outside, place, place, person, person))
    with pytest.raises(DataError, match="no training row has a word of an entity of type 'ORG'"):
        task.find_schema(task.settings(class_weights="sqrt", labels=["PER", "LOC", "ORG"]), read, None, None)


def test_label_smoothing_of_generated_texts_covers_the_target_tokens_only():
    task = find_tasks()["translation"]
    logits = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([[3, 4, 1, IGNORED, IGNORED], [7, 1, IGNORED, IGNORED, IGNORED]])
    batch = Batch({}, targets, (0, 1), 10, 10)
    schema = SimpleNamespace(kind="encoder-decoder", label_smoothing=0.1)
    found = task.loss_sum(SimpleNamespace(logits=logits), batch, schema)
    rows = logits[targets != IGNORED].log_softmax(-1)
    expected = -(0.9 * rows[range(5), targets[targets != IGNORED]] + 0.1 * rows.mean(-1)).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    assert task.count_targets(batch, schema) == 5
