"""AdamW's parameter groups, and the learning rate as a pure function of the step."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch

Schedule = Literal["linear", "cosine", "constant"]


def lr_at(step: int, *, total_steps: int, peak: float, warmup_ratio: float, schedule: Schedule) -> float:
    """Return the learning rate of optimizer step `step` (from 0).

    It rises in ceil(total_steps * warmup_ratio) equal steps, none of them 0, then stays, or falls linearly or along half
    a cosine, so that the step after the last would have 0.
    """
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    left = max(total_steps - step, 0) / max(total_steps - warmup, 1)
    return peak * (left if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * (1 - left))))


def make_optimizer(
    model: torch.nn.Module, *, learning_rate: float, weight_decay: float, factors: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters; biases and normalization weights (one dimension) do not decay.

    `factors` gives, by the parameter's name, what its learning rate is multiplied with: each group holds it as `lr_factor`,
    which the loop applies at every step. None takes 1 for all.
    """
    named = [(parameter, 1.0 if factors is None else factors[name]) for name, parameter in trainable_parameters(model)]
    groups = [
        {
            "params": [p for p, its_factor in named if its_factor == factor and (p.ndim > 1) == decays],
            "weight_decay": weight_decay if decays else 0.0,
            "lr": learning_rate * factor,
            "lr_factor": factor,
        }
        for factor in sorted({factor for _, factor in named}, reverse=True)
        for decays in (True, False)
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield name and parameter of every weight that gets a gradient."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
