"""Speed-ups: skip work that does not change the loss or the gradients.

    embedding_rows        train only the embedding rows of tokens that occur in the training rows
    last_block            compute the last block of a classifier only for the token that its head reads
    frozen_blocks         compute frozen lower blocks once, and cache their outputs for later epochs
    predicted_positions   compute a language model's logits only at predicted positions
    decoder_cache         train a decoder without a cache of keys and values
    dropout               draw dropout masks from faster random numbers on a CPU (same distribution)

`apply_speedups` and `remove_speedups` handle embedding_rows, last_block and dropout, which change the model for the whole
training.
"""

from typing import Any

import torch

from ft_toolkit.training.speedups.dropout import use_fast_dropout, use_torch_dropout
from ft_toolkit.training.speedups.embedding_rows import TrainingIds, restore_embedding, train_only_rows
from ft_toolkit.training.speedups.last_block import shorten_last_block


def apply_speedups(model: Any, device: torch.device, training_ids: TrainingIds) -> list[str]:
    """Apply the speed-ups that fit the model, in place, and return a description of each.

    `training_ids` returns the token ids of the training rows, None if any token may occur. Call this function before the
    optimizer is created.
    """
    applied = []
    if shorten_last_block(model):
        applied.append("last block computed only for the token that the head reads")
    if count := train_only_rows(model, training_ids):
        applied.append(f"{count[0]:,} of {count[1]:,} embedding rows trained (the tokens in the training rows)")
    if device.type == "cpu" and use_fast_dropout(model):
        applied.append("faster random numbers for dropout")
    return applied


def remove_speedups(model: Any) -> None:
    """Restore the standard modules, so that the model can be saved. The model computes the same outputs."""
    restore_embedding(model)
    use_torch_dropout(model)
