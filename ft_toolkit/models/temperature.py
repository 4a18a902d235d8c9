"""Fold the calibration temperature of a classifier into its last layer, so that every program gives the same probabilities.

The layer must be linear and its outputs must be the logits: then logits / T = (W / T) x + b / T exactly.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def folded_temperature(model: Any, temperature: float, logits_of: Callable[[], torch.Tensor]) -> Iterator[bool]:
    """Divide the last layer by the temperature inside the context, and yield whether the weights contain the temperature.

    `logits_of` returns the logits of the model for a few examples, shape (..., labels). If they are not outputs of a linear
    layer, the context yields False with the weights unchanged, as for temperature 1. The end of the context restores the
    weights.
    """
    layer = None if temperature == 1 else _last_layer(model, logits_of)
    if layer is None:
        yield False
        return
    parameters = [parameter for parameter in (layer.weight, layer.bias) if parameter is not None]
    saved = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.div_(temperature)
        yield True
    finally:
        _restore(parameters, saved)


def _restore(parameters: list[torch.Tensor], saved: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, values in zip(parameters, saved, strict=True):
            parameter.copy_(values)


def _last_layer(model: Any, logits_of: Callable[[], torch.Tensor]) -> torch.nn.Linear | None:
    """Return the linear layer whose outputs are the logits; with an adapter, the trained copy of it. None without such a layer.

    The outputs are compared, not the names: they are the logits in every precision only if nothing follows the layer except a
    choice of tokens (GPT-2 takes the outputs at the last token).
    """
    outputs: list[tuple[torch.nn.Linear, torch.Tensor]] = []
    handles = [
        module.register_forward_hook(lambda layer, _, output: outputs.append((layer, output)))
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        logits = logits_of()
    finally:
        for handle in handles:
            handle.remove()
    rows = logits.reshape(-1, logits.shape[-1]).float()
    for layer, output in reversed(outputs):
        if output.shape[-1] == rows.shape[-1]:
            candidates = output.detach().reshape(-1, rows.shape[-1]).float()
            return layer if all(bool((candidates == row).all(-1).any()) for row in rows) else None
    return None
