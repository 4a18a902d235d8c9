"""Targets that stand at tokens, for every task that predicts some tokens and leaves the others out of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ft_toolkit.tasks.base import Batch

if TYPE_CHECKING:
    import torch

# The target of a token that is left out, as PyTorch's cross entropy has it.
IGNORED = -100


def pad_targets(targets: Sequence[Sequence[int]], width: int, schema: Any) -> torch.Tensor:
    """Return the targets, shape (features, width), IGNORED where there are none."""
    import torch

    return torch.tensor([[*target, *[IGNORED] * (width - len(target))] for target in targets], dtype=torch.long)


def count_targets(batch: Batch, schema: Any) -> float:
    """Return the number of tokens that are predicted."""
    return float((batch.targets != IGNORED).sum())


def places_of(wanted: torch.Tensor) -> torch.Tensor:
    """Return the places of a mask (features, tokens) as savings.positions counts them: over the flattened batch."""
    import torch

    return torch.nonzero(wanted.flatten()).squeeze(1)


def at_places(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return (places, vocabulary) of logits over all positions, or over the wanted ones alone."""
    flat = logits.flatten(0, 1)
    return flat if len(flat) == int(wanted.sum()) else flat[wanted.flatten()]
