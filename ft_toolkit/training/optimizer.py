"""AdamW, and the learning rate of every parameter at every step.

    rate of a parameter group at a step = LearningRate.at(step) x lr_factor of the group

`LearningRate.apply` is the only code that writes a rate into the optimizer. `lr_factor` differs from 1 only with
training.layerwise_lr_decay or training.head_learning_rate.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.adapters import is_within, plain_name
from ft_toolkit.models.weights import block_of
from ft_toolkit.recipe.resolved import ResolvedTraining


@dataclass(frozen=True)
class LearningRate:
    """The learning rate as a pure function of the step: linear warm-up to `peak`, then a schedule over the remaining steps."""

    peak: float
    total_steps: int
    warmup_ratio: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"

    def at(self, step: int) -> float:
        """Return the rate of optimizer step `step`, which counts from 0.

        The warm-up takes ceil(total_steps * warmup_ratio) equal increments, none of them zero. A linear or cosine schedule
        reaches 0 at step `total_steps`, one step after the last.
        """
        warmup = math.ceil(self.total_steps * self.warmup_ratio)
        if step < warmup:
            return self.peak * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.peak
        left = max(self.total_steps - step, 0) / max(self.total_steps - warmup, 1)
        return self.peak * (left if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * (1 - left))))

    def apply(self, step: int, optimizer: torch.optim.Optimizer) -> float:
        """Set the rate of each parameter group for `step`, and return the rate of groups with lr_factor 1."""
        rate = self.at(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]
        return rate


def make_optimizer(model: Any, training: ResolvedTraining, heads: Sequence[str]) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters, without a learning rate: `LearningRate.apply` sets it before each step.

    Biases and normalization weights (one dimension) have no weight decay. `heads` names the modules that learn with
    head_learning_rate. Raises ModelError for a rate setting without effect on this model.
    """
    factors = lr_factors(model, heads, training)
    groups = [
        {
            "params": [
                p for name, p in trainable_parameters(model) if factors[name] == factor and (p.ndim > 1) == decays
            ],
            "weight_decay": training.weight_decay if decays else 0.0,
            "lr_factor": factor,
        }
        for factor in sorted(set(factors.values()), reverse=True)
        for decays in (True, False)
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def lr_factors(model: Any, heads: Sequence[str], training: ResolvedTraining) -> dict[str, float]:
    """Return {parameter name: factor of its learning rate} for all trainable parameters.

    - a block: layerwise_lr_decay ** n, where n counts the blocks above it. Encoder and decoder are two stacks.
    - embeddings: one power more than the lowest block of the deepest stack.
    - heads, including new modules inside the base model: head_learning_rate / learning_rate.
    - everything above the blocks, such as a pooler: 1.

    Raises ModelError for a setting without effect.
    """
    decay, head_rate = training.layerwise_lr_decay, training.head_learning_rate
    head_factor = 1.0 if head_rate is None else head_rate / training.learning_rate
    depths = _stack_depths(model, heads)
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    if hasattr(model, "get_input_embeddings"):  # it need not be a torch.nn.Embedding
        tables.append(model.get_input_embeddings())
    embeddings = {id(parameter) for table in tables for parameter in table.parameters()}
    factors: dict[str, float] = {}
    in_head: set[str] = set()
    for name, parameter in trainable_parameters(model):
        plain = plain_name(name)
        if is_within(plain, heads):
            in_head.add(name)
            factors[name] = head_factor
        elif (block := block_of(plain)) is not None:
            stack, index = block
            factors[name] = decay ** (depths[stack] - 1 - index)
        elif id(parameter) in embeddings or "embedding" in plain:
            factors[name] = decay ** max(depths.values(), default=0)
        else:
            factors[name] = 1.0
    if head_rate is not None and not in_head:
        raise ModelError(
            f"training.head_learning_rate={head_rate} has no effect: {type(model).__name__} has no separate head, its output "
            "layer is tied to the embeddings; set training.head_learning_rate=null"
        )
    if decay != 1 and all(factor == 1 for name, factor in factors.items() if name not in in_head):
        raise ModelError(
            f"training.layerwise_lr_decay={decay} has no effect: below the head of {type(model).__name__} only one block is "
            "trained; set training.layerwise_lr_decay=1.0"
        )
    return factors


def _stack_depths(model: Any, heads: Sequence[str]) -> Mapping[str, int]:
    """Return the number of blocks of each stack, trainable or frozen."""
    depths: dict[str, int] = {}
    for name, _ in model.named_parameters():
        plain = plain_name(name)
        if not is_within(plain, heads) and (block := block_of(plain)) is not None:
            stack, index = block
            depths[stack] = max(depths.get(stack, 0), index + 1)
    return depths


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield the name and the parameter of every weight with requires_grad."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
