"""Targets at tokens, for tasks that predict some tokens and ignore the others in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ft_toolkit.tasks.base import Batch

if TYPE_CHECKING:
    import torch

# The target of a token that is not predicted; the default ignore_index of PyTorch's cross entropy.
IGNORED = -100


def pad_targets(targets: Sequence[Sequence[int]], width: int, schema: Any) -> torch.Tensor:
    """Return the targets, shape (features, width), IGNORED at padding."""
    import torch

    return torch.tensor([[*target, *[IGNORED] * (width - len(target))] for target in targets], dtype=torch.long)


def count_targets(batch: Batch, schema: Any) -> float:
    """Return the number of predicted tokens."""
    return float((batch.targets != IGNORED).sum())


def flat_positions(mask: torch.Tensor) -> torch.Tensor:
    """Return the positions where a mask (features, tokens) is true, numbered over the flattened batch."""
    import torch

    return torch.nonzero(mask.flatten()).squeeze(1)


def at_positions(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the logits where a mask (features, tokens) is true, shape (positions, vocabulary).

    `logits` has shape (features, tokens, vocabulary), or (1, positions, vocabulary) when the model computed no others.
    """
    flat = logits.flatten(0, 1)
    return flat if len(flat) == int(mask.sum()) else flat[mask.flatten()]
