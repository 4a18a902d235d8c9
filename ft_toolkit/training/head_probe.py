"""Initialize a new head with a linear probe: fit its last linear layer on frozen features before the first step.

    training rows ──> model without dropout ──> input of the head's last layer ──> weights of this layer, by L-BFGS

Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. The gradients of a random head distort the pretrained
weights; those of a fitted head do not. The probe minimizes the task's loss, so class weights, multiple labels and regression
need no special code. Earlier layers of the head, such as a new pooler, stay random.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

# Maximum number of features (rows, or windows of long rows), sampled with the seed. One forward pass over them takes about a
# third of the time of training on them once. The probe never reads more features than the training.
MAX_FEATURES = 2048
# Maximum number of tokens for the probe of a tagger: 200 MB at a width of 768.
MAX_TOKENS = 65_536
# Candidates for the L2 penalty, on features scaled to variance 1. The one with the lowest loss on a held-out fifth of the
# features is used. No single value fits all data: MiniLM trained for one epoch on 900 rows reached 0.77, 0.79, 0.81, 0.81 with
# these on SST-2, and 0.77, 0.75, 0.55, 0.15 on the 77 labels of Banking77 (accuracy, mean of 2 seeds).
PENALTIES = (0.01, 0.1, 1.0, 10.0)
_HELD_OUT_PARTS = 5
# Lower bound for a feature's standard deviation, as a share of its size (root mean square). Otherwise nearly constant features
# get weights so large that the first steps of training, which shift whole features, change the logits drastically.
MIN_SCALE = 0.1
# L-BFGS iterations for the final fit, and for the comparison of penalties.
_ITERATIONS, _ITERATIONS_TO_CHOOSE = 100, 25


# `auto` probes a head if the run has at most this number of steps per output. In the same time, runs of up to 7 steps per
# output ended 0.25 to 0.63 higher than with a random head (accuracy or F1, MiniLM), runs of 11 to 15 steps between 0.03 lower
# and 0.16 higher, and longer runs equally high: benchmarks/results/2026-11-25_time_to_quality.md
STEPS_PER_OUTPUT = 8
# `auto` rejects a probe whose logits change by more than this if each feature changes by a tenth of its size. Training shifts
# all features a little, and a head that separates nearly constant features amplifies the shift. Accepted probes of MiniLM had
# 0.5 to 3.1; a random BERT with nearly constant features had 9.3, and its loss rose from 0.7 to 37.
MAX_SHIFT = 5.0


class _NoProbeError(ModelError):
    """The model has no new head, or its last layer does not produce the logits."""


@dataclass(frozen=True)
class HeadProbe:
    """The fitted layer, the number of features, the penalty, and the mean loss with the random and with the fitted layer."""

    layer: str
    features: int
    penalty: float
    random_loss: float
    loss: float
    seconds: float


def fit_head_probe(
    accelerator: Accelerator, model: Any, new_modules: Sequence[str], prepared: Prepared
) -> HeadProbe | None:
    """Fit the last linear layer of the new modules on training rows, and write its weights into `model`.

    Returns None, and changes nothing, with training.head_start=none, or with auto in these cases: a pretrained model has no
    new head whose last layer produces the logits; the run has enough steps for a random head; or the fitted layer is too
    sensitive to changes of the features. Each process fits the layer and then copies the weights of the main process.

    Raises ModelError if training.head_start=probe is not possible, NotFiniteError if features or fit are not finite.
    """
    setting, started = prepared.recipe.training.head_start, time.perf_counter()
    if setting == "none" or (setting == "auto" and not _supports_probe(prepared)):
        return None
    model.eval()
    try:
        name, layer = _last_new_layer(model, new_modules)
        if (
            setting == "auto"
            and prepared.total_steps(accelerator.num_processes) > STEPS_PER_OUTPUT * layer.out_features
        ):
            return None
        held_out, others = _read_features(accelerator, model, layer, name, prepared)
    except _NoProbeError:
        if setting == "auto":
            return None
        raise
    probe = _Probe([*held_out, *others], prepared)
    random_loss = probe.loss(layer.weight.detach().float(), None if layer.bias is None else layer.bias.detach().float())
    fit = partial(_Probe.fit, n_outputs=layer.out_features, with_bias=layer.bias is not None)
    penalty = _choose_penalty(_Probe(held_out, prepared), _Probe(others, prepared), fit)
    weight, bias = fit(probe, penalty=penalty)
    if setting == "auto" and probe.shift(weight) > MAX_SHIFT:
        return None
    loss = probe.loss(weight, bias)
    if not np.isfinite(loss):
        raise NotFiniteError(
            f"training.head_start: the loss of the probe for {name} is {loss}, because the checkpoint's features are not "
            "finite or too large; check the checkpoint, or set training.head_start=none"
        )
    with torch.no_grad():
        for parameter, fitted in ((layer.weight, weight), (layer.bias, bias)):
            if parameter is not None and fitted is not None:
                parameter.copy_(broadcast(fitted) if accelerator.num_processes > 1 else fitted)
    n_features = sum(len(batch.feature_ids) for _, batch in probe.batches)
    return HeadProbe(name, n_features, penalty, random_loss, loss, round(time.perf_counter() - started, 2))


def _choose_penalty(
    held_out: "_Probe", others: "_Probe", fit: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
) -> float:
    """Return the penalty with the lowest held-out loss; the middle one without held-out targets."""
    if not held_out.n_targets or not others.n_targets:
        return PENALTIES[len(PENALTIES) // 2]
    return min(
        PENALTIES, key=lambda penalty: held_out.loss(*fit(others, penalty=penalty, iterations=_ITERATIONS_TO_CHOOSE))
    )


def _supports_probe(prepared: Prepared) -> bool:
    """Return whether the task's model class supports a probe and the model is pretrained."""
    return bool(PROBED_CLASSES & set(prepared.task.auto_class.values())) and prepared.recipe.model.config is None


def _last_new_layer(model: Any, new_modules: Sequence[str]) -> tuple[str, torch.nn.Linear]:
    """Return the name and the last linear layer of the new modules; with an adapter, its trainable copy."""
    layers = [
        (plain_name(name), module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight.requires_grad
        and is_within(plain_name(name), new_modules)
    ]
    if not layers:
        raise _NoProbeError(
            "training.head_start=probe: the checkpoint already has a trained head; set training.head_start=auto"
        )
    return layers[-1]


def _read_features(
    accelerator: Accelerator, model: Any, layer: torch.nn.Linear, name: str, prepared: Prepared
) -> tuple[list[tuple[torch.Tensor, Batch]], list[tuple[torch.Tensor, Batch]]]:
    """Return (inputs of the layer, batch) for each held-out batch and for each other batch: inputs (..., layer inputs).

    A fifth of the features, sampled with the seed, is held out. Raises _NoProbeError if the layer does not produce the logits.
    """
    features, task = prepared.features["train"], prepared.task
    collate = make_collate(features, task, prepared.schema, prepared.tokenizer.pad_token_id)
    lengths = np.array(features.lengths)
    maximum = min(MAX_FEATURES, _features_trained_on(prepared, accelerator.num_processes))
    chosen = np.random.default_rng(prepared.recipe.training.seed).permutation(len(lengths))[:maximum]

    def forward(ids: Sequence[int]) -> tuple[torch.Tensor, Batch]:
        batch = to_device(collate(ids), accelerator.device)
        # not inference_mode: its tensors cannot be part of a computation with gradients
        with torch.no_grad(), accelerator.autocast():
            return model(**batch.inputs).logits.float(), batch

    def forward_all(ids: np.ndarray) -> list[tuple[torch.Tensor, Batch]]:
        if not len(ids):
            return []
        batches = evaluation_batches(
            lengths[ids].tolist(), tokens_per_batch=prepared.evaluation_tokens(), world_size=1
        )[0]
        return [forward([int(ids[index]) for index in batch]) for batch in batches]

    shortest = chosen[np.argsort(lengths[chosen], kind="stable")[:2]].tolist()
    logits, _ = forward(shortest)
    if logits.dim() > 2:  # logits per token: the inputs of all tokens are in memory at once
        chosen = chosen[: max(int(np.searchsorted(lengths[chosen].cumsum(), MAX_TOKENS)), 2)]
    n_held_out = len(chosen) // _HELD_OUT_PARTS
    with _without_layer(model, layer):
        if not _produces_logits(layer, forward(shortest)[0], logits):
            raise _NoProbeError(
                f"training.head_start=probe: the last new layer, {name}, does not produce the logits of "
                f"{type(model).__name__}; set training.head_start=auto"
            )
        return forward_all(chosen[:n_held_out]), forward_all(chosen[n_held_out:])


@contextmanager
def _without_layer(model: Any, layer: torch.nn.Linear) -> Iterator[None]:
    """Replace the layer by an identity inside the context: the model then returns the layer's input instead of logits."""
    parent, attribute = next(
        (parent, attribute)
        for parent in model.modules()
        for attribute, child in parent.named_children()
        if child is layer
    )
    setattr(parent, attribute, torch.nn.Identity())
    try:
        yield
    finally:
        setattr(parent, attribute, layer)


def _features_trained_on(prepared: Prepared, world_size: int) -> int:
    """Return the number of features that training reads in the first epoch: a run of a few steps gets a small probe."""
    steps = prepared.epoch_batches(0, world_size)[: prepared.total_steps(world_size)]
    return sum(len(micro.features) for step in steps for micros in step for micro in micros if micro.weight)


def _produces_logits(layer: torch.nn.Linear, inputs: torch.Tensor, logits: torch.Tensor) -> bool:
    """Return whether the layer maps the inputs to these logits, within the precision of bfloat16."""
    if inputs.shape[-1] != layer.in_features or logits.shape != (*inputs.shape[:-1], layer.out_features):
        return False
    expected = functional.linear(inputs, layer.weight.float(), None if layer.bias is None else layer.bias.float())
    return torch.allclose(expected, logits, rtol=0.05, atol=0.05 * float(logits.abs().max()), equal_nan=True)


class _Probe:
    """The task's loss of a linear layer on fixed inputs."""

    def __init__(self, batches: Sequence[tuple[torch.Tensor, Batch]], prepared: Prepared) -> None:
        self.batches = batches
        self.task, self.schema = prepared.task, prepared.schema
        self.n_targets = sum(self.task.count_targets(batch, self.schema) for _, batch in batches)

    def _mean_loss(
        self, inputs: Sequence[torch.Tensor], weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        sums = [
            self.task.loss_sum(SimpleNamespace(logits=functional.linear(features, weight, bias)), batch, self.schema)
            for features, (_, batch) in zip(inputs, self.batches, strict=True)
        ]
        return torch.stack(sums).sum() / self.n_targets

    def _rows(self) -> torch.Tensor:
        """Return the inputs of all batches, shape (rows or tokens, inputs)."""
        return torch.cat([inputs.reshape(-1, inputs.shape[-1]) for inputs, _ in self.batches])

    def loss(self, weight: torch.Tensor, bias: torch.Tensor | None) -> float:
        """Return the mean loss per target."""
        with torch.no_grad():
            return float(self._mean_loss([inputs for inputs, _ in self.batches], weight, bias))

    def shift(self, weight: torch.Tensor) -> float:
        """Return the largest possible change of a logit if each feature changes by a tenth of its size."""
        size = self._rows().square().mean(0).sqrt()
        return float((weight.abs() * size).sum(1).max()) / 10

    def fit(
        self, *, n_outputs: int, with_bias: bool, penalty: float, iterations: int = _ITERATIONS
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return weight (outputs, inputs) and bias that minimize mean loss + penalty / 2 * sum of squared weights.

        The fit starts at zero. Features are scaled to variance 1 and, with a bias, to mean 0, so a penalty has the same
        effect for every checkpoint. A constant feature gets weight 0.
        """
        rows = self._rows()
        mean = rows.mean(0) if with_bias else torch.zeros_like(rows[0])
        scale = torch.maximum((rows - mean).square().mean(0).sqrt(), MIN_SCALE * rows.square().mean(0).sqrt())
        scale = torch.where(scale > 1e-5 * scale.max(), scale, torch.inf)
        scaled = [(inputs - mean) / scale for inputs, _ in self.batches]
        weight = torch.zeros(n_outputs, len(mean), device=mean.device, requires_grad=True)
        bias = torch.zeros(n_outputs, device=mean.device, requires_grad=True) if with_bias else None
        parameters = [weight] if bias is None else [weight, bias]
        optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            parameters,
            max_iter=iterations,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            line_search_fn="strong_wolfe",
        )

        def closure() -> float:
            loss = self._mean_loss(scaled, weight, bias) + penalty / 2 * weight.square().sum()
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            return float(loss.detach())

        optimizer.step(closure)
        fitted = weight.detach() / scale
        return fitted, None if bias is None else bias.detach() - fitted @ mean
