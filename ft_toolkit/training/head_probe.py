"""A new head that starts from a probe: its last linear layer is fitted to what the frozen model says, before the first step.

    training rows ──> model, dropout off ──> input of the head's last layer ──> that layer's weights, by L-BFGS

Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. A random head sends noise into the pretrained weights
until it has found its direction; a fitted one does not. It is the task's own loss that is minimized, so class weights,
several labels and numbers need nothing of their own. Layers of the head before the last one, a new pooler say, stay random.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch.nn import functional

from ft_toolkit.core.errors import ModelError, NotFiniteError
from ft_toolkit.models.adapters import is_within, plain_name
from ft_toolkit.recipe.checks import PROBED_CLASSES
from ft_toolkit.tasks.base import Batch
from ft_toolkit.training.batching import evaluation_batches
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.prepare import Prepared

# Features (rows, or windows of long ones) that the probe reads at most, drawn by the seed: one forward pass over them costs
# about a third of training on them once. Never more than training reads.
MOST_FEATURES = 2048
# Tokens that the probe of a tagger reads at most: of 768 numbers each, 200 MB.
MOST_TOKENS = 65_536
# Weights of the squared weights beside the mean loss, on features scaled to variance 1: the one is taken that gives the lowest
# loss on a fifth of the features, held out. No one value does: MiniLM trained once on 900 rows had 0.77, 0.79, 0.81, 0.81 with
# these on SST-2, and 0.77, 0.75, 0.55, 0.15 on Banking77's 77 labels (accuracy, mean of 2 seeds).
PENALTIES = (0.01, 0.1, 1.0, 10.0)
_HELD_OUT = 5
# A feature that varies less than this share of its size counts as if it varied so much: its weight would be so large that the
# first steps of training, which move the feature as a whole, threw the logits about.
LEAST_SCALE = 0.1
# Of L-BFGS; a fit that only has to say which penalty is best is as good after fewer.
_ITERATIONS, _ITERATIONS_TO_CHOOSE = 100, 25


# auto fits a head that trains for at most so many steps per output. In the same time, runs of up to 7 steps per output ended
# 0.25 to 0.63 higher than from a random head (accuracy or F1, MiniLM), runs of 11 to 15 from 0.03 lower to 0.16 higher, longer
# ones alike: benchmarks/results/2026-11-25_time_to_quality.md
STEPS_PER_OUTPUT = 8
# ... and whose logits are steady: training moves all features a little, and where they hardly differ from text to text, a head
# that tells them apart multiplies that. Were each feature off by a tenth of its size, a logit would be off by so much at most.
# What was chosen for MiniLM had 0.5 to 3.1; a random BERT with nearly constant features 9.3, and its loss rose from 0.7 to 37.
MOST_SHIFT = 5.0


class _NothingToStartError(ModelError):
    """There is no new head, or its last layer does not give the logits."""


@dataclass(frozen=True)
class HeadProbe:
    """What a probe did: to which layer, on how many features, and their mean loss with the random layer and after."""

    layer: str
    features: int
    penalty: float
    random_loss: float
    loss: float
    seconds: float


def fit_head_probe(
    accelerator: Accelerator, model: Any, new_modules: Sequence[str], prepared: Prepared
) -> HeadProbe | None:
    """Fit the last linear layer of the new modules to training rows, and write its weights into `model`.

    Returns None, and changes nothing, where the recipe wants no probe or leaves it open (auto) and there is nothing to start
    (no new head on a pretrained model, or none whose last layer gives the logits), a random head has steps enough, or the
    fitted one would not be steady. Every process computes the same, and takes the first one's weights. Raises ModelError
    where the recipe wants a probe and there is nothing to start, NotFiniteError where the features or the fit are not finite.
    """
    setting, started = prepared.recipe.training.head_start, time.perf_counter()
    if setting == "none" or (setting == "auto" and not _can_have_one(prepared)):
        return None
    model.eval()
    try:
        name, layer = _last_new_layer(model, new_modules)
        if (
            setting == "auto"
            and prepared.total_steps(accelerator.num_processes) > STEPS_PER_OUTPUT * layer.out_features
        ):
            return None
        held, others = _read(accelerator, model, layer, name, prepared)
    except _NothingToStartError:
        if setting == "auto":
            return None
        raise
    probe = _Probe([*held, *others], prepared)
    random_loss = probe.loss(layer.weight.detach().float(), None if layer.bias is None else layer.bias.detach().float())
    fit = partial(_Probe.fit, n_outputs=layer.out_features, with_bias=layer.bias is not None)
    penalty = _choose(_Probe(held, prepared), _Probe(others, prepared), fit)
    weight, bias = fit(probe, penalty=penalty)
    if setting == "auto" and probe.shift(weight) > MOST_SHIFT:
        return None
    loss = probe.loss(weight, bias)
    if not np.isfinite(loss):
        raise NotFiniteError(
            f"training.head_start: the loss on {name}'s features is {loss}; the checkpoint gives features that are "
            "not finite, or too large. Set it to none, and look at the checkpoint"
        )
    with torch.no_grad():
        for own, fitted in ((layer.weight, weight), (layer.bias, bias)):
            if own is not None and fitted is not None:
                own.copy_(broadcast(fitted) if accelerator.num_processes > 1 else fitted)
    n_features = sum(len(batch.feature_ids) for _, batch in probe.batches)
    return HeadProbe(name, n_features, penalty, random_loss, loss, round(time.perf_counter() - started, 2))


def _choose(held: "_Probe", others: "_Probe", fit: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]) -> float:
    """Return the penalty whose fit to the others has the lowest loss on those held out; the middle one where none are."""
    if not held.count or not others.count:
        return PENALTIES[len(PENALTIES) // 2]
    return min(
        PENALTIES, key=lambda penalty: held.loss(*fit(others, penalty=penalty, iterations=_ITERATIONS_TO_CHOOSE))
    )


def _can_have_one(prepared: Prepared) -> bool:
    """Say whether a head of this task can be probed, and the model below it is pretrained."""
    return bool(PROBED_CLASSES & set(prepared.task.auto_class.values())) and prepared.recipe.model.config is None


def _last_new_layer(model: Any, new_modules: Sequence[str]) -> tuple[str, torch.nn.Linear]:
    """Return name and layer; with an adapter, the copy of the head that is trained."""
    found = [
        (plain_name(name), module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight.requires_grad
        and is_within(plain_name(name), new_modules)
    ]
    if not found:
        raise _NothingToStartError(
            "training.head_start=probe: nothing to start, the checkpoint has a trained head of its own; remove it (auto)"
        )
    return found[-1]


def _read(
    accelerator: Accelerator, model: Any, layer: torch.nn.Linear, name: str, prepared: Prepared
) -> tuple[list[tuple[torch.Tensor, Batch]], list[tuple[torch.Tensor, Batch]]]:
    """Return, per batch, what would be the logits if the layer gave back its input, and the batch: shape (..., inputs).

    The first batches are those of the features held out, a fifth drawn by the seed.
    """
    features, task = prepared.features["train"], prepared.task
    collate = make_collate(features, task, prepared.schema, prepared.tokenizer.pad_token_id)
    lengths = np.array(features.lengths)
    most = min(MOST_FEATURES, _features_trained_on(prepared, accelerator.num_processes))
    chosen = np.random.default_rng(prepared.recipe.training.seed).permutation(len(lengths))[:most]

    def forward(ids: Sequence[int]) -> tuple[torch.Tensor, Batch]:
        batch = to_device(collate(ids), accelerator.device)
        # not inference mode, whose tensors no gradient can be taken with
        with torch.no_grad(), accelerator.autocast():
            return model(**batch.inputs).logits.float(), batch

    def forward_all(ids: np.ndarray) -> list[tuple[torch.Tensor, Batch]]:
        if not len(ids):
            return []
        plan = evaluation_batches(lengths[ids].tolist(), tokens_per_batch=prepared.evaluation_tokens(), world_size=1)[0]
        return [forward([int(ids[place]) for place in places]) for places in plan]

    shortest = chosen[np.argsort(lengths[chosen], kind="stable")[:2]].tolist()
    logits, _ = forward(shortest)
    if logits.dim() > 2:  # one for each token: all of their inputs are held at once
        chosen = chosen[: max(int(np.searchsorted(lengths[chosen].cumsum(), MOST_TOKENS)), 2)]
    n_held = len(chosen) // _HELD_OUT
    handle = layer.register_forward_hook(lambda module, args, output: args[0])
    try:
        if not _gives_logits(layer, forward(shortest)[0], logits):
            raise _NothingToStartError(
                f"training.head_start=probe: the last new layer, {name}, does not give the logits of {type(model).__name__}; "
                "remove it (auto)"
            )
        return forward_all(chosen[:n_held]), forward_all(chosen[n_held:])
    finally:
        handle.remove()


def _features_trained_on(prepared: Prepared, world_size: int) -> int:
    """Return how many features the steps of the first epoch read: a run of a few steps gets a small probe."""
    steps = prepared.epoch_batches(0, world_size)[: prepared.total_steps(world_size)]
    return sum(len(micro.features) for step in steps for micros in step for micro in micros if micro.weight)


def _gives_logits(layer: torch.nn.Linear, inputs: torch.Tensor, logits: torch.Tensor) -> bool:
    """Say whether the layer turns its input into these logits, as far as bfloat16 can tell."""
    if inputs.shape[-1] != layer.in_features or logits.shape != (*inputs.shape[:-1], layer.out_features):
        return False
    made = functional.linear(inputs, layer.weight.float(), None if layer.bias is None else layer.bias.float())
    return torch.allclose(made, logits, rtol=0.05, atol=0.05 * float(logits.abs().max()), equal_nan=True)


class _Probe:
    """The task's loss of a linear layer on fixed inputs."""

    def __init__(self, batches: Sequence[tuple[torch.Tensor, Batch]], prepared: Prepared) -> None:
        self.batches = batches
        self.task, self.schema = prepared.task, prepared.schema
        self.count = sum(self.task.count_targets(batch, self.schema) for _, batch in batches)

    def _mean(self, inputs: Sequence[torch.Tensor], weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        sums = [
            self.task.loss_sum(SimpleNamespace(logits=functional.linear(one, weight, bias)), batch, self.schema)
            for one, (_, batch) in zip(inputs, self.batches, strict=True)
        ]
        return torch.stack(sums).sum() / self.count

    def loss(self, weight: torch.Tensor, bias: torch.Tensor | None) -> float:
        """Return the mean loss per target."""
        with torch.no_grad():
            return float(self._mean([inputs for inputs, _ in self.batches], weight, bias))

    def shift(self, weight: torch.Tensor) -> float:
        """Return by how much a logit changes at most where each feature is off by a tenth of its size."""
        rows = torch.cat([one.reshape(-1, one.shape[-1]) for one, _ in self.batches])
        size = rows.square().mean(0).sqrt()
        return float((weight.abs() * size).sum(1).max()) / 10

    def fit(
        self, *, n_outputs: int, with_bias: bool, penalty: float, iterations: int = _ITERATIONS
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return weight (outputs, inputs) and bias that minimize the mean loss plus penalty / 2 times the squared weights.

        The fit starts at zero and sees the features scaled to variance 1 and, where a bias can take it up, mean 0, so the
        penalty means the same for every checkpoint; a feature that never changes gets weight 0.
        """
        inputs = [one for one, _ in self.batches]
        rows = torch.cat([one.reshape(-1, one.shape[-1]) for one in inputs])
        mean = rows.mean(0) if with_bias else torch.zeros_like(rows[0])
        scale = torch.maximum((rows - mean).square().mean(0).sqrt(), LEAST_SCALE * rows.square().mean(0).sqrt())
        scale = torch.where(scale > 1e-5 * scale.max(), scale, torch.inf)
        scaled = [(one - mean) / scale for one in inputs]
        weight = torch.zeros(n_outputs, len(mean), device=mean.device, requires_grad=True)
        bias = torch.zeros(n_outputs, device=mean.device, requires_grad=True) if with_bias else None
        own = [weight] if bias is None else [weight, bias]
        optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            own,
            max_iter=iterations,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            line_search_fn="strong_wolfe",
        )

        def closure() -> float:
            loss = self._mean(scaled, weight, bias) + penalty / 2 * weight.square().sum()
            for parameter, gradient in zip(own, torch.autograd.grad(loss, own), strict=True):
                parameter.grad = gradient
            return float(loss.detach())

        optimizer.step(closure)
        fitted = weight.detach() / scale
        return fitted, None if bias is None else bias.detach() - fitted @ mean
