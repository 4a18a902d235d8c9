"""A language model's vocabulary, computed where something is predicted.

A masked language model predicts at 15% of the positions, a decoder that summarizes at those of the summary, but the classes
of transformers multiply every position with the whole vocabulary: more than the blocks themselves for a small model, and the
largest tensor of the step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ft_toolkit.tasks.base import Batch, Task
from ft_toolkit.tasks.text.token_targets import places_of


@contextmanager
def compute_logits_at(model: Any, places: Tensor | None) -> Iterator[None]:
    """Inside, the model's head sees the outputs of its body at `places` only: logits are (1, places, vocabulary).

    `places` (on any device) counts positions over the flattened batch, in ascending order; None changes nothing.
    """
    if places is None:
        yield
        return
    bare = unwrapped(model)
    bare = bare.get_base_model() if hasattr(bare, "get_base_model") else bare

    def keep(body: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[places.to(output.last_hidden_state.device)][
            None
        ]
        return output

    handle = bare.base_model.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def unwrapped(model: Any) -> Any:
    """Return the model without what trains it over several processes: DDP and DeepSpeed's engine alike have it as `module`."""
    return getattr(model, "module", model)


def read_positions(task: Task, batch: Batch, schema: Any) -> Tensor | None:
    """Return the places that the task's loss and predictions read of a batch, None for all."""
    wanted = None if task.reads is None else task.reads(batch, schema)
    return None if wanted is None else places_of(wanted)
