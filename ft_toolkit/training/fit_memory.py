"""Whether the widest micro-batch fits into memory, tried before the first step; where it does not, it is cut into pieces.

The loss of a step is a sum over its rows, so pieces that pass one after the other give the same loss and gradient, and the
effective batch and the schedule stay. Where one row alone does not fit, activations are computed again in the backward pass.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ft_toolkit.core.errors import UsageError
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.loop import TrainingPlan, backward, collate_pieces, in_pieces
from ft_toolkit.training.speedups.predicted_positions import unwrapped


@dataclass(frozen=True)
class Fit:
    """What the trial found: micro-batches in so many pieces, with or without recomputed activations."""

    pieces: int
    checkpointing: bool

    @property
    def words(self) -> str | None:
        """What was chosen, None where everything fits as it is."""
        found = [f"micro-batches pass in {self.pieces} pieces"] if self.pieces > 1 else []
        found += ["activations are computed again in the backward pass"] if self.checkpointing else []
        return " and ".join(found) + ", to fit into memory; loss and gradients stay the same" if found else None


def can_run_out(accelerator: Accelerator) -> bool:
    """Return whether running out of memory is an error here that can be caught: on a GPU, or under a limit on addresses.

    Without such a limit a system ends a process that wants too much, and there is nothing to be tried.
    """
    if accelerator.device.type != "cpu":
        return True
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def fit_memory(accelerator: Accelerator, model: Any, plan: TrainingPlan, lengths: Sequence[int], epoch: int) -> Fit:
    """Pass the widest micro-batch of an epoch forward and backward until it fits; return how it did, the same on all ranks.

    `lengths` are those of the training features. Weights stay as they are; the room that AdamW's two moments will take is
    held meanwhile. Raises UsageError when the longest row does not fit by itself.
    """
    own = [micro for step in plan.epoch_batches(epoch) for micro in step[accelerator.process_index]]
    widest = max(own, key=lambda micro: len(micro.features) * max(lengths[i] for i in micro.features))
    bare = unwrapped(model)  # unwrap_model imports DeepSpeed wherever it is installed, which takes seconds
    fit = Fit(1, False)
    while True:
        fits = _passes(accelerator, model, in_pieces(plan, fit.pieces), widest, epoch)
        if accelerator.num_processes > 1:
            fits = all(gather_object([fits]))
        if fits:
            return fit
        if fit.pieces < len(widest.features):
            fit = replace(fit, pieces=min(2 * max(fit.pieces, plan.pieces(widest)), len(widest.features)))
        elif not fit.checkpointing and bare.supports_gradient_checkpointing:
            _recompute(bare)
            fit = replace(fit, checkpointing=True)
        else:
            raise UsageError(
                f"a row of {max(lengths)} tokens does not fit into the memory of {accelerator.device} by itself: lower "
                "data.max_length, take a smaller model, or a method that trains less (method=lora)"
            )


def _recompute(model: Any) -> None:
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(how)
    else:  # earlier versions of transformers 5 know it by its old name
        model.gradient_checkpointing_enable(how)


def _passes(accelerator: Accelerator, model: Any, plan: TrainingPlan, widest: MicroBatch, epoch: int) -> bool:
    """Say whether a forward and backward pass over the micro-batch gets through."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    held: list[Any] = []
    try:
        # AdamW's two moments, and once more for what clipping and the update need
        held = [torch.empty_like(parameter) for parameter in trained for _ in range(3)]
        model.train()
        with accelerator.no_sync(model):
            for batch in collate_pieces(plan, [widest], epoch):
                backward(accelerator, model, plan, batch, 1.0)
    except (torch.OutOfMemoryError, MemoryError):
        return False
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch's words on a CPU
            raise
        return False
    else:
        return True
    finally:
        del held
        for parameter in trained:
            parameter.grad = None
        gc.collect()
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
