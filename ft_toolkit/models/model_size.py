"""Refuse a config whose model would be too large, before a library builds it: with a wrong number, building never ends."""

from collections.abc import Callable, Mapping
from typing import Any

from ft_toolkit.core.environment import free_memory_bytes
from ft_toolkit.core.errors import ModelError

# Keys with the width of a model. Every other number of a config is at most one side of a matrix with this width.
_WIDTHS = (
    "hidden_size",
    "d_model",
    "n_embd",
    "dim",
    "embedding_size",
    "emb_dim",
    "n_inner",
    "d_ff",
    "intermediate_size",
)
# Far above any model: 2**34 weights in one matrix (64 GiB in float32), 1,000 blocks, a million labels.
_LARGEST_MATRIX = 2**34
_MOST_LAYERS = 1000
_MOST_LABELS = 10**6


def check_numbers(where: str, values: Mapping[str, Any]) -> None:
    """Raise ModelError for a number of a config that no model has. `where` is the config in the message."""
    numbers = {key: value for key, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    width = max((abs(value) for key, value in numbers.items() if key in _WIDTHS), default=1)
    for key, value in numbers.items():
        limit = _LARGEST_MATRIX // max(width, 1) if key not in _WIDTHS else int(_LARGEST_MATRIX**0.5)
        if key.endswith(("layer", "layers")):
            limit = _MOST_LAYERS
        elif key.endswith("labels"):
            limit = _MOST_LABELS
        elif key.endswith("_id"):
            limit = 2**31
        if abs(value) > limit:
            raise ModelError(f"{where}: found {key}={value}; at most {limit} is allowed")
    for value in values.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                check_numbers(where, inner)


def check_memory(where: str, build: Callable[[], Any]) -> None:
    """Raise ModelError if the weights of the model that `build` returns do not fit into the free memory in float32.

    The model is built without memory for its weights: 0.04 s for BERT-base.
    """
    import torch  # compare and gate, which also read model folders, do not load it

    with torch.device("meta"):
        model = build()
    n_weights = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    free = free_memory_bytes()
    if 4 * n_weights > free:
        raise ModelError(
            f"{where}: the model has {n_weights / 1e6:,.0f} million weights, which need {4 * n_weights / 2**30:,.1f} GiB in "
            f"float32; {free / 2**30:.1f} GiB of memory are free"
        )
