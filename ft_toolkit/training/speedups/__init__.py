"""Work that need not be done: what is computed for nobody is left out, and loss and gradients stay what they were.

    rows         an embedding table is trained where the training rows name a token, and nowhere else
    last_block   a classifier reads one token of the last block: the others stop at their keys and values
    frozen       what frozen lower blocks give is computed once, and taken again in later epochs
    positions    a language model's vocabulary is computed where something is predicted
    dropout      the same law of dropout from cheaper random numbers, on a CPU

`apply_speedups` and `remove_speedups` change a model in place.
"""

from typing import Any

import torch

from ft_toolkit.training.speedups.dropout import use_cheap_dropout, use_stock_dropout
from ft_toolkit.training.speedups.embedding_rows import TrainingIds, train_only_rows, whole_table
from ft_toolkit.training.speedups.last_block import shorten_last_block


def apply_speedups(model: Any, device: torch.device, training_ids: TrainingIds) -> list[str]:
    """Leave out what is computed for nobody when this model is trained, in place; return in words what was left out.

    `training_ids` gives the tokens that the training rows name, None where any may come. Call it before the optimizer is made.
    """
    done = []
    if shorten_last_block(model):
        done.append("last block for the one token that is read")
    if count := train_only_rows(model, training_ids):
        done.append(f"{count[0]:,} of {count[1]:,} embedding rows, which are all that the training rows name")
    if device.type == "cpu" and use_cheap_dropout(model):
        done.append("dropout from cheaper random numbers")
    return done


def remove_speedups(model: Any) -> None:
    """Bring back the plain modules, so that the model can be saved; what it computes stays the same."""
    whole_table(model)
    use_stock_dropout(model)
