"""How fast each weight learns beside the others: slower further from the head, and the head at a rate of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.adapters import block_of, is_within, plain_name
from ft_toolkit.recipe.sections import TrainingSection
from ft_toolkit.training.optimizer import trainable_parameters


def lr_factors(model: Any, heads: Sequence[str], training: TrainingSection) -> dict[str, float]:
    """Return, by the name of each trainable parameter, what its learning rate is multiplied with.

    The n-th block below the top of its stack has layerwise_lr_decay ** n, the embeddings one power more than the deepest
    stack's lowest block; what stands above the blocks, a pooler say, has 1. An encoder and a decoder are two stacks. The
    heads, new modules inside the model among them, have head_learning_rate / learning_rate. Raises ModelError where a
    setting would change nothing.
    """
    decay, head_rate = training.layerwise_lr_decay, training.head_learning_rate
    head_factor = 1.0 if head_rate is None else head_rate / training.learning_rate
    depths = _depths(model, heads)
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    if hasattr(model, "get_input_embeddings"):  # which may be of a class of its own
        tables.append(model.get_input_embeddings())
    embeddings = {id(parameter) for table in tables for parameter in table.parameters()}
    factors: dict[str, float] = {}
    in_head: set[str] = set()
    for name, parameter in trainable_parameters(model):
        plain = plain_name(name)
        if is_within(plain, heads):
            in_head.add(name)
            factors[name] = head_factor
        elif (place := block_of(plain)) is not None:
            factors[name] = decay ** (depths[place[0]] - 1 - place[1])
        elif id(parameter) in embeddings or "embedding" in plain:
            factors[name] = decay ** max(depths.values(), default=0)
        else:
            factors[name] = 1.0
    if head_rate is not None and not in_head:
        raise ModelError(
            f"training.head_learning_rate={head_rate}: {type(model).__name__} has no head of its own, its output is tied to "
            "its embeddings; remove it (null)"
        )
    if decay != 1 and all(factor == 1 for name, factor in factors.items() if name not in in_head):
        raise ModelError(
            f"training.layerwise_lr_decay={decay} changes nothing: what is trained below the head of {type(model).__name__} "
            "lies in one block; remove it (1.0)"
        )
    return factors


def _depths(model: Any, heads: Sequence[str]) -> Mapping[str, int]:
    """Return the number of blocks of each stack, trained or not."""
    depths: dict[str, int] = {}
    for name, _ in model.named_parameters():
        plain = plain_name(name)
        if not is_within(plain, heads) and (place := block_of(plain)) is not None:
            depths[place[0]] = max(depths.get(place[0], 0), place[1] + 1)
    return depths
