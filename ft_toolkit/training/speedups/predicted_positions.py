"""Compute a language model's logits only at predicted positions.

A masked language model predicts at 15% of the positions, a decoder only at the positions of its answer. The classes of
transformers compute the logits of the whole vocabulary at every position, also at padding. This takes longer than the blocks
of a small model and gives the largest tensor of a step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ft_toolkit.tasks.base import Batch, Task
from ft_toolkit.tasks.text.token_targets import flat_positions


@contextmanager
def compute_logits_at(model: Any, positions: Tensor | None) -> Iterator[None]:
    """Compute logits only at `positions` inside the context: shape (1, positions, vocabulary).

    `positions` are ascending indices into the flattened batch, on any device; None changes nothing.
    """
    if positions is None:
        yield
        return

    def select_positions(body: nn.Module, args: Any, output: Any) -> Any:
        hidden = output.last_hidden_state.flatten(0, 1)
        output.last_hidden_state = hidden[positions.to(hidden.device)][None]
        return output

    handle = _body(model).register_forward_hook(select_positions)
    try:
        yield
    finally:
        handle.remove()


def _body(model: Any) -> nn.Module:
    """Return the part of the model whose last hidden state is the input of the output layer."""
    base = unwrapped(model)
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    body: nn.Module = (base.get_decoder() if base.config.is_encoder_decoder else base).base_model
    return body


def unwrapped(model: Any) -> Any:
    """Return the model without its wrapper for several processes: DDP and DeepSpeed's engine both store it as `module`."""
    return getattr(model, "module", model)


def read_positions(task: Task, batch: Batch, schema: Any) -> Tensor | None:
    """Return the positions whose logits the task's loss and predictions read, None for all positions of the batch."""
    mask = None if task.logit_positions is None else task.logit_positions(batch, schema)
    return None if mask is None else flat_positions(mask)
