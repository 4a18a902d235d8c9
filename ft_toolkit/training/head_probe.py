"""Initialize a new head with a linear probe: fit its last linear layer on frozen features before the first step.

    training rows ──> model without dropout ──> input of the head's last layer ──> weights of this layer, by L-BFGS

Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. The gradients of a random head distort the pretrained
weights; the gradients of a fitted head do not. The probe minimizes the task's loss, so class weights, multiple labels and
regression need no special code. Earlier layers of the head, such as a new pooler, stay random. The features come from the
pooled model.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch.nn import functional

from ft_toolkit.core.errors import ModelError, NotFiniteError
from ft_toolkit.data.batches import evaluation_batches
from ft_toolkit.models.adapters import is_within, plain_name
from ft_toolkit.models.pooled_model import pooling_of
from ft_toolkit.recipe.checks import PROBED_CLASSES
from ft_toolkit.tasks.base import Batch
from ft_toolkit.tasks.text.token_targets import IGNORED
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.frozen_vectors import FrozenVectors, reading_order
from ft_toolkit.training.linear_fit import FeatureTable, Layer, LinearFit, TaskLoss
from ft_toolkit.training.prepare import Prepared

# Maximum number of features (rows, or windows of long rows), sampled with the seed. One forward pass over them takes about a
# third of the time of training on them once. The probe never reads more features than the first epoch of the training.
MAX_FEATURES = 16_384
# Maximum number of tokens for the probe of a tagger: 200 MB at a width of 768.
MAX_TOKENS = 65_536
# Candidates for the L2 penalty, on features scaled to variance 1. The one with the lowest loss on held-out rows is used. No
# single value fits all data: MiniLM trained for one epoch on 900 rows reached 0.81, 0.81, 0.79, 0.77 with 10, 1, 0.1 and 0.01
# on SST-2, and 0.15, 0.55, 0.75, 0.77 on the 77 labels of Banking77 (accuracy, mean of 2 seeds). On all 10,003 rows of
# Banking77, the loss on held-out rows was 0.91, 0.40, 0.31 and 0.33 with 0.1, 0.01, 0.001 and 0.0003.
PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
# A fifth of the rows is held out; of at most this number of rows, each fifth once.
FOLDS, MAX_ROWS_FOR_FOLDS = 5, 1000
# L-BFGS iterations for the final fit, and for each penalty.
_ITERATIONS, _ITERATIONS_TO_CHOOSE = 100, 25
# `auto` uses a probe only if its loss on held-out rows is lower than the constant loss by at least this share.
# With MiniLM on SST-2 and VADER, all 24 samples of 128 rows had this gain, and 7 of 24 samples of 16 rows; with shuffled
# labels, none of 128 rows, 2 of 24 of 16 rows, and 6 of 24 of 64 rows. The number of steps does not matter: a probe gained 5
# points in 30 steps, and after 90 and 192 steps it was equal to a random head:
# benchmarks/results/2026-11-29_pooling_and_probe.md
MIN_GAIN = 0.01
# `auto` rejects a probe if a change of each feature by a tenth of its size can change a logit by more than this number of its
# standard deviations. Training shifts all features a little, and a head that separates nearly constant features amplifies the
# shift. Probes of MiniLM had 0.8 (SST-2), 1.1 (10,003 rows of Banking77), 1.6 (SST-2, pooler) and 2.7 (WNUT-17); poolers of
# random models with nearly constant features had 6 to 59, and the loss of such a run rose from 0.7 to 37.
MAX_SHIFT = 5.0
# With fewer rows, the held-out loss is mostly chance: it rejected 17 of 24 probes on 16 rows. A probe is then used unless it is
# too sensitive: on 8 rows per label, MiniLM reached 0.61 with a probe and 0.56 with random weights (VADER, 120 steps).
FEW_ROWS = 100


# Methods whose model computes, before the first step, bitwise the same vectors as the checkpoint: LoRA adds zeros.
UNCHANGED_AT_START = ("full", "lora", "freeze")
# The penalty after contrastive training, which has seen all rows, so that no row can be held out to choose it. On 8 rows per
# label of SST-2 and VADER the held-out loss chose 0.001, with a loss on 500 test rows of 1.07 to 1.36; with 10 it was 0.66 to
# 0.67, with 1 0.72 to 0.74, and the accuracies were within 0.012.
AFTER_PAIRS = 10.0


class NoProbeError(ModelError):
    """The model has no new head, or its last layer does not produce the logits."""


@dataclass(frozen=True)
class HeadProbe:
    """The fitted layer, the number of features, the penalty, and the mean loss with the random and with the fitted layer.

    The losses on held-out rows belong to layers that were fitted without these rows; None where a row cannot be held out.
    `constant_loss` is the loss of the best constant prediction.
    """

    layer: str
    features: int
    penalty: float
    random_loss: float
    loss: float
    seconds: float
    held_out_loss: float | None = None
    constant_loss: float | None = None


@dataclass(frozen=True)
class RejectedProbe:
    """The reason why `auto` keeps the random head."""

    reason: str


def fit_head_probe(
    accelerator: Accelerator,
    model: Any,
    new_modules: Sequence[str],
    prepared: Prepared,
    frozen: FrozenVectors | None = None,
) -> HeadProbe | RejectedProbe | None:
    """Fit the last linear layer of the new modules on training rows, and write its weights into `model`.

    Returns None, and changes nothing, with training.head_start=none, or with auto if a pretrained model has no new head whose
    last layer produces the logits. Returns a RejectedProbe, and changes nothing, with auto if the fitted layer is not better on
    held-out rows than a random head and a constant prediction, or too sensitive to changes of the features. Each process fits
    the layer and then copies the weights of the main process. `frozen` gets the vectors of the training features, if the layer
    reads pooled vectors of the checkpoint.

    Raises ModelError if training.head_start=probe is not possible, NotFiniteError if features or fit are not finite.
    """
    setting, started = prepared.recipe.training.head_start, time.perf_counter()
    if setting == "none" or (setting == "auto" and not _supports_probe(prepared)):
        return None
    model.eval()
    try:
        name, layer = last_new_layer(model, new_modules)
        n_features, table, vectors = _read_features(accelerator, model, layer, name, prepared)
    except NoProbeError:
        if setting == "auto":
            return None
        raise
    if frozen is not None and vectors is not None and _reads_pooled_vectors(model, new_modules, prepared):
        frozen.vectors, frozen.pooling = vectors, pooling_of(model.config)
    loss = TaskLoss(prepared.task, prepared.schema)
    random = Layer(layer.weight.detach().float(), None if layer.bias is None else layer.bias.detach().float())
    random_loss = loss.mean(random, table)
    after_pairs = prepared.recipe.training.contrastive_pairs is not None
    penalty, held_out_loss = (AFTER_PAIRS, None) if after_pairs else _choose_penalty(table, loss, layer)
    fitted = _linear_fit(table, loss, layer).fit(penalty, iterations=_ITERATIONS)
    probe = HeadProbe(
        name,
        n_features,
        penalty,
        random_loss,
        loss.mean(fitted, table),
        round(time.perf_counter() - started, 2),
        held_out_loss,
        loss.constant(table, layer.out_features),
    )
    if setting == "auto" and (reason := _reason_against(probe, _shift(table, fitted), after_pairs=after_pairs)):
        return RejectedProbe(reason)
    if not np.isfinite(probe.loss):
        raise NotFiniteError(
            f"training.head_start: the loss of the probe for {name} is {probe.loss}, because the checkpoint's features are not "
            "finite or too large; check the checkpoint, or set training.head_start=none"
        )
    with torch.no_grad():
        for parameter, value in ((layer.weight, fitted.weight), (layer.bias, fitted.bias)):
            if parameter is not None and value is not None:
                parameter.copy_(broadcast(value) if accelerator.num_processes > 1 else value)
    return probe


def _reason_against(probe: HeadProbe, shift: float, *, after_pairs: bool) -> str | None:
    """Return the reason why `auto` rejects a probe; None if it accepts the probe."""
    if shift > MAX_SHIFT:
        return f"the features are nearly constant: a change by a tenth moves a logit by up to {shift:.0f} standard deviations"
    if (probe.features < FEW_ROWS or after_pairs) and np.isfinite(probe.loss):
        return None
    if probe.held_out_loss is None or probe.constant_loss is None:
        return "the training rows have too few targets to hold some out"
    bound = min((1 - MIN_GAIN) * probe.constant_loss, probe.random_loss)
    if not probe.held_out_loss < bound:  # also NaN
        return (
            f"loss {probe.held_out_loss:.4f} on held-out rows, {probe.constant_loss:.4f} for a constant prediction, "
            f"{probe.random_loss:.4f} with random weights"
        )
    return None


def _shift(table: FeatureTable, layer: Layer) -> float:
    """Return the largest change of a logit, in standard deviations, if each feature changes by a tenth of its size."""
    size = table.inputs.square().mean(0).sqrt()
    spread = layer.logits(table.inputs).std(0).mean()
    return float((layer.weight.abs() * size).sum(1).max() / spread) / 10


def _linear_fit(table: FeatureTable, loss: TaskLoss, layer: torch.nn.Linear) -> LinearFit:
    return LinearFit(table, loss, layer.out_features, with_bias=layer.bias is not None)


def _choose_penalty(table: FeatureTable, loss: TaskLoss, layer: torch.nn.Linear) -> tuple[float, float | None]:
    """Return the penalty with the lowest loss on held-out rows, and this loss; without held-out rows, the middle one and None.

    Each fit starts from the fit with the next stronger penalty.
    """
    n_examples = int(table.examples.max()) + 1 if len(table.examples) else 0
    n_folds = max(min(FOLDS, n_examples), 1)
    sums, count = np.zeros(len(PENALTIES)), 0.0
    for fold in range(n_folds if n_examples <= MAX_ROWS_FOR_FOLDS else 1):
        is_held_out = table.examples % n_folds == fold
        held_out, others = table.select(is_held_out), table.select(~is_held_out)
        if not len(held_out.targets) or not len(others.targets):
            continue
        fit = _linear_fit(others, loss, layer)
        for position, penalty in enumerate(PENALTIES):
            fitted = fit.fit(penalty, iterations=_ITERATIONS_TO_CHOOSE)
            with torch.no_grad():
                total, n_targets = loss.sum_and_count(fitted.logits(held_out.inputs), held_out.targets)
            sums[position] += float(total)
        count += n_targets
    if not count:
        return PENALTIES[len(PENALTIES) // 2], None
    best = int(sums.argmin())
    return PENALTIES[best], float(sums[best]) / count


def _supports_probe(prepared: Prepared) -> bool:
    """Return whether the task's model class supports a probe and the model is pretrained."""
    return bool(PROBED_CLASSES & set(prepared.task.auto_class.values())) and prepared.recipe.model.config is None


def _reads_pooled_vectors(model: Any, new_modules: Sequence[str], prepared: Prepared) -> bool:
    """Return whether the new head is one layer on pooled vectors, and the weights below it are those of the checkpoint."""
    recipe = prepared.recipe
    return (
        pooling_of(model.config) is not None
        and len(_new_layers(model, new_modules)) == 1
        and recipe.training.contrastive_pairs is None
        and prepared.augmented is None  # the baseline reads the original rows
        and recipe.method.name in UNCHANGED_AT_START
    )


def _new_layers(model: Any, new_modules: Sequence[str]) -> list[tuple[str, torch.nn.Linear]]:
    """Return the names and the linear layers of the new modules; with an adapter, their trainable copies."""
    return [
        (plain_name(name), module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight.requires_grad
        and is_within(plain_name(name), new_modules)
    ]


def last_new_layer(model: Any, new_modules: Sequence[str]) -> tuple[str, torch.nn.Linear]:
    """Return the name and the last linear layer of the new modules; with an adapter, its trainable copy."""
    layers = _new_layers(model, new_modules)
    if not layers:
        raise NoProbeError(
            "training.head_start=probe: the checkpoint already has a trained head; set training.head_start=auto"
        )
    return layers[-1]


def _read_features(
    accelerator: Accelerator, model: Any, layer: torch.nn.Linear, name: str, prepared: Prepared
) -> tuple[int, FeatureTable, np.ndarray | None]:
    """Return the number of features that were read, and the inputs of the layer: a row per feature or tagged token.

    The third value is these inputs by the number of the feature, if all features were read and have one row each. Examples are
    numbered in a random order. Raises NoProbeError if the layer does not produce the logits.
    """
    features, task = prepared.training_features, prepared.task
    collate = make_collate(features, task, prepared.schema, prepared.tokenizer.pad_token_id)
    lengths = np.array(features.lengths)
    maximum = min(MAX_FEATURES, _features_trained_on(prepared, accelerator.num_processes))
    chosen = reading_order(len(lengths), prepared.recipe.training.seed)[:maximum]

    def forward(ids: Sequence[int]) -> tuple[torch.Tensor, Batch]:
        batch = to_device(collate(ids), accelerator.device)
        # not inference_mode: its tensors cannot be part of a computation with gradients
        with torch.no_grad(), accelerator.autocast():
            return model(**batch.inputs).logits.float(), batch

    shortest = chosen[np.argsort(lengths[chosen], kind="stable")[:2]].tolist()
    logits, _ = forward(shortest)
    if logits.dim() > 2:  # logits per token: the inputs of all tokens are in memory at once
        chosen = chosen[: max(int(np.searchsorted(lengths[chosen].cumsum(), MAX_TOKENS)), 2)]
    numbers: dict[int, int] = {}
    for feature in chosen.tolist():
        numbers.setdefault(features.example_ids[feature], len(numbers))
    batches = evaluation_batches(lengths[chosen].tolist(), tokens_per_batch=prepared.evaluation_tokens(), world_size=1)[
        0
    ]
    tables, read = [], list[int]()
    with without_layer(model, layer):
        if not _produces_logits(layer, forward(shortest)[0], logits):
            raise NoProbeError(
                f"training.head_start=probe: the last new layer, {name}, does not produce the logits of "
                f"{type(model).__name__}; set training.head_start=auto"
            )
        for positions in batches:
            inputs, batch = forward([int(chosen[position]) for position in positions])
            examples = torch.tensor([numbers[features.example_ids[i]] for i in batch.feature_ids])
            tables.append(_as_rows(inputs, batch.targets, examples.to(inputs.device)))
            read += batch.feature_ids
    table = FeatureTable(
        torch.cat([table.inputs for table in tables]),
        torch.cat([table.targets for table in tables]),
        torch.cat([table.examples for table in tables]),
    )
    vectors = None
    if logits.dim() == 2 and len(read) == len(lengths):
        vectors = np.empty(table.inputs.shape, np.float32)
        vectors[read] = table.inputs.cpu().numpy()
    return len(chosen), table, vectors


def _as_rows(inputs: torch.Tensor, targets: torch.Tensor, examples: torch.Tensor) -> FeatureTable:
    """Return a row per feature or, for inputs (features, tokens, width), a row per token with a target."""
    if inputs.dim() == 2:
        return FeatureTable(inputs, targets, examples)
    is_target = targets != IGNORED
    return FeatureTable(inputs[is_target], targets[is_target], examples[:, None].expand_as(targets)[is_target])


@contextmanager
def without_layer(model: Any, layer: torch.nn.Linear) -> Iterator[None]:
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
    """Return the number of features that training reads in the first epoch: a run of a few steps gets a small probe.

    A run without steps fits the probe to all features.
    """
    n_steps = prepared.total_steps(world_size)
    steps = prepared.epoch_batches(0, world_size)[: n_steps or None]
    return sum(len(micro.features) for step in steps for micros in step for micro in micros if micro.weight)


def _produces_logits(layer: torch.nn.Linear, inputs: torch.Tensor, logits: torch.Tensor) -> bool:
    """Return whether the layer maps the inputs to these logits, within the precision of bfloat16."""
    if inputs.shape[-1] != layer.in_features or logits.shape != (*inputs.shape[:-1], layer.out_features):
        return False
    expected = functional.linear(inputs, layer.weight.float(), None if layer.bias is None else layer.bias.float())
    return torch.allclose(expected, logits, rtol=0.05, atol=0.05 * float(logits.abs().max()), equal_nan=True)
