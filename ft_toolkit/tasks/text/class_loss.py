"""The loss of classifiers and taggers: cross entropy with class weights, focal loss and label smoothing.

    single label    loss of a target with class y:   w[y] * sum_k q[k] * (1 - p[k])^gamma * -log p[k]
    multi-label     the same for each label of each row, with the two classes "present" and "absent"

`p` are the probabilities, `w` the class weights, gamma is `focal_gamma` (Lin et al. 2017, arXiv:1708.02002). With label
smoothing (Szegedy et al. 2016, arXiv:1512.00567), q is 1 - smoothing at the true class plus smoothing / classes at every class.
The sum over the targets is divided by the sum of their weights w[y], which does not depend on the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.base import TaskSettings
from ft_toolkit.tasks.text.token_targets import IGNORED

if TYPE_CHECKING:
    import torch

WeightRule = Literal["balanced", "sqrt"]
# Probabilities of 1 have an infinite gradient with focal_gamma < 1, so 1 - p has this lower bound.
_TINY = 1e-7


class ClassLossSettings(TaskSettings):
    """Settings for rare classes and wrong labels."""

    # Weights for rare classes in the loss. balanced: targets / (classes * targets of the class), as in scikit-learn; sqrt:
    # proportional to the square root of these. With several labels per row, the classes are presence and absence of each
    # label; for entities, they are the words of each type and all other words. Default: all targets have weight 1.
    class_weights: WeightRule | None = None
    # Exponent of the focal loss: targets that the model already predicts with probability p count (1 - p) ** focal_gamma.
    # The paper uses 2. 0.0: cross entropy.
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    # Share of the target probability that is spread evenly over all classes, for labels that may be wrong. Common: 0.1.
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ClassLoss(Protocol):
    """The fields of a schema that define the loss.

    `class_weights` has a weight per output of the model; with several labels per row, the weight of the label's presence, and
    `absent_weights` the weight of its absence. None: all weights are 1.
    """

    @property
    def class_weights(self) -> tuple[float, ...] | None: ...

    @property
    def absent_weights(self) -> tuple[float, ...] | None: ...

    @property
    def focal_gamma(self) -> float: ...

    @property
    def label_smoothing(self) -> float: ...


def weights_of(rule: WeightRule, counts: Sequence[float], classes: Sequence[str], rows_with: str) -> tuple[float, ...]:
    """Return a weight per class from the number of its targets; the mean over all targets is 1.

    Raises DataError for a class without targets; `rows_with` describes a class in this message, such as "the label".
    """
    for count, name in zip(counts, classes, strict=True):
        if not count:
            raise DataError(f"task.class_weights={rule}: no training row has {rows_with} {name!r}")
    total = sum(counts)
    if rule == "balanced":
        return tuple(total / (len(counts) * count) for count in counts)
    scale = total / sum(count**0.5 for count in counts)
    return tuple(scale / count**0.5 for count in counts)


def presence_weights(
    rule: WeightRule, counts: Sequence[float], n_rows: int, labels: Sequence[str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the weights of the presence and of the absence of each label; both are 1 for a label that all rows have.

    `counts` are the rows with each label. Raises DataError for a label without rows.
    """
    weights_of(rule, counts, labels, "the label")
    pairs = [
        weights_of(rule, (count, n_rows - count), (label, label), "another set of labels than")
        if count < n_rows
        else (1.0, 1.0)
        for count, label in zip(counts, labels, strict=True)
    ]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def single_label_loss_sum(logits: torch.Tensor, targets: torch.Tensor, options: ClassLoss) -> torch.Tensor:
    """Return the summed loss of logits (n, classes), float32, and class indices (n,); IGNORED targets are left out."""
    import torch
    from torch.nn import functional

    weights = None if options.class_weights is None else torch.tensor(options.class_weights, device=logits.device)
    if not options.focal_gamma and not options.label_smoothing:
        return functional.cross_entropy(logits, targets, weight=weights, ignore_index=IGNORED, reduction="sum")
    is_target = targets != IGNORED
    logits, targets = logits[is_target], targets[is_target]
    log_p = functional.log_softmax(logits, -1)
    losses = -log_p
    if options.focal_gamma:
        losses = losses * (-torch.expm1(log_p)).clamp_min(_TINY) ** options.focal_gamma
    true_loss = losses.gather(1, targets[:, None]).squeeze(1)
    smoothed = (1 - options.label_smoothing) * true_loss + options.label_smoothing * losses.mean(-1)
    return (smoothed if weights is None else smoothed * weights[targets]).sum()


def soft_label_loss_sum(logits: torch.Tensor, targets: torch.Tensor, options: ClassLoss) -> torch.Tensor:
    """Return the summed loss of logits and probabilities, both (n, classes), float32.

    The loss of a row is the expected loss of a label that is drawn with these probabilities: sum_y q[y] * loss(y). Without
    focal loss and label smoothing it is that of `torch.nn.functional.cross_entropy` with probabilities and weights.
    """
    import torch
    from torch.nn import functional

    log_p = functional.log_softmax(logits, -1)
    losses = -log_p
    if options.focal_gamma:
        losses = losses * (-torch.expm1(log_p)).clamp_min(_TINY) ** options.focal_gamma
    if options.label_smoothing:
        losses = (1 - options.label_smoothing) * losses + options.label_smoothing * losses.mean(-1, keepdim=True)
    return (_weighted(targets, options) * losses).sum()


def count_soft_label(targets: torch.Tensor, options: ClassLoss) -> float:
    """Return the number of rows; with class weights, the expected sum of the weights of their labels."""
    return float(len(targets) if options.class_weights is None else _weighted(targets.double(), options).sum())


def _weighted(targets: torch.Tensor, options: ClassLoss) -> torch.Tensor:
    import torch

    if options.class_weights is None:
        return targets
    return targets * torch.tensor(options.class_weights, dtype=targets.dtype, device=targets.device)


def soft_multi_label_loss_sum(logits: torch.Tensor, targets: torch.Tensor, options: ClassLoss) -> torch.Tensor:
    """Return the summed loss of logits and independent probabilities, (rows, labels): the expected loss of drawn labels."""
    import torch

    present = multi_label_losses(logits, torch.ones_like(targets), options)
    absent = multi_label_losses(logits, torch.zeros_like(targets), options)
    return (targets * present + (1 - targets) * absent).sum()


def multi_label_loss_sum(logits: torch.Tensor, targets: torch.Tensor, options: ClassLoss) -> torch.Tensor:
    """Return the summed loss of logits and 0/1 targets, shape (rows, labels), float32."""
    return multi_label_losses(logits, targets, options, reduction="sum")


def multi_label_losses(
    logits: torch.Tensor, targets: torch.Tensor, options: ClassLoss, reduction: Literal["none", "sum"] = "none"
) -> torch.Tensor:
    """Return the loss of each cell of logits and 0/1 targets, shape (rows, labels), or their sum."""
    from torch.nn import functional

    weights = _cell_weights(targets, options)
    expected = targets * (1 - options.label_smoothing) + options.label_smoothing / 2
    if not options.focal_gamma:
        return functional.binary_cross_entropy_with_logits(logits, expected, weight=weights, reduction=reduction)
    log_present, log_absent = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    present = -log_present * log_absent.exp().clamp_min(_TINY) ** options.focal_gamma
    absent = -log_absent * log_present.exp().clamp_min(_TINY) ** options.focal_gamma
    losses = expected * present + (1 - expected) * absent
    losses = losses if weights is None else losses * weights
    return losses.sum() if reduction == "sum" else losses


def count_single_label(targets: torch.Tensor, options: ClassLoss) -> float:
    """Return the number of targets that are not IGNORED; with class weights, the sum of their weights."""
    import torch

    is_target = targets != IGNORED
    if options.class_weights is None:
        return float(is_target.sum())
    weights = torch.tensor(options.class_weights, dtype=torch.float64, device=targets.device)
    return float(weights[targets[is_target]].sum())


def count_multi_label(targets: torch.Tensor, options: ClassLoss) -> float:
    """Return the number of targets, one per row and label; with class weights, the sum of their weights."""
    weights = _cell_weights(targets.double(), options)
    return float(targets.numel() if weights is None else weights.sum())


def _cell_weights(targets: torch.Tensor, options: ClassLoss) -> torch.Tensor | None:
    """Return the weight of each target, shape (rows, labels), in the type of the targets; None without weights."""
    import torch

    if options.class_weights is None:
        return None
    assert options.absent_weights is not None, "weights of presence come with weights of absence"
    present, absent = (
        torch.tensor(weights, dtype=targets.dtype, device=targets.device)
        for weights in (options.class_weights, options.absent_weights)
    )
    return targets * present + (1 - targets) * absent
