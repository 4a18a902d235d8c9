"""Fold the calibration temperature of a classifier into its last layer, so that every program gives the same probabilities.

The layer must be linear and its outputs must be the logits: then logits / T = (W / T) x + b / T exactly.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Largest relative difference between the logits of the changed layer and the divided logits, in float32.
_TOLERANCE = 1e-4


@contextmanager
def folded_temperature(model: Any, temperature: float, logits_of: Callable[[], torch.Tensor]) -> Iterator[bool]:
    """Divide the last layer by the temperature inside the context, and yield whether the weights contain the temperature.

    `logits_of` returns the logits of the model for a few examples, shape (..., labels). If the changed layer does not divide
    the logits, the context yields False with the weights unchanged, as for temperature 1. The end of the
    context restores the weights.
    """
    before = None if temperature == 1 else logits_of()
    layer = None if before is None else _last_layer(model, before.shape[-1])
    if before is None or layer is None:
        yield False
        return
    parameters = [parameter for parameter in (layer.weight, layer.bias) if parameter is not None]
    saved = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.div_(temperature)
    try:
        largest = float((before / temperature).abs().max())
        is_divided = torch.allclose(logits_of(), before / temperature, rtol=_TOLERANCE, atol=_TOLERANCE * largest)
        if not is_divided:
            _restore(parameters, saved)
        yield is_divided
    finally:
        _restore(parameters, saved)


def _restore(parameters: list[torch.Tensor], saved: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, values in zip(parameters, saved, strict=True):
            parameter.copy_(values)


def _last_layer(model: Any, n_labels: int) -> torch.nn.Linear | None:
    """Return the last linear layer with an output per label; with an adapter, the trained copy of it."""
    layers = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.out_features == n_labels
        and "original_module" not in name.split(".")
    ]
    return layers[-1] if layers else None
