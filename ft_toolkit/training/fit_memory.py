"""Split micro-batches that do not fit into memory: the widest one is tried before the first step.

The loss of a step is a sum over its rows, so consecutive passes over pieces give the same loss and gradient, and the effective
batch and the schedule do not change. If a single row does not fit, activations are recomputed in the backward pass.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ft_toolkit.core.errors import UsageError
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.loop import TrainingPlan, backward, collate_pieces, with_min_pieces
from ft_toolkit.training.speedups.predicted_positions import unwrapped

# Bytes that a trial on a CPU leaves free for the code that oneDNN compiles per shape: a few KiB each.
_ONEDNN_RESERVE = 2**24
# Bytes that a trial of a model that will be sharded leaves free besides a second copy of the weights: FSDP gathers blocks and
# copies the model for evaluations, both libraries have buffers for communication, and each of their threads may reserve 64 MiB
# of addresses. With 64 MiB, ZeRO ended in the first backward pass of a tiny model on a CPU.
_SHARDING_RESERVE = 2**28


@dataclass(frozen=True)
class Fit:
    """How micro-batches fit: the number of pieces of the widest one, and whether activations are recomputed."""

    pieces: int
    checkpointing: bool

    @property
    def description(self) -> str | None:
        """A description of the changes for the console; None if whole micro-batches fit."""
        changes = [f"micro-batches are split into {self.pieces} passes"] if self.pieces > 1 else []
        changes += ["activations are recomputed in the backward pass"] if self.checkpointing else []
        return " and ".join(changes) + " to fit into memory (same loss and gradient)" if changes else None


def can_run_out(accelerator: Accelerator) -> bool:
    """Return whether a lack of memory raises an error that can be caught: on a GPU, or with a limit on the address space.

    Without such a limit, the operating system kills a process that exceeds the memory. All processes must call it; it is
    true on all processes if it is true on one.
    """
    return any(_on_all(accelerator, accelerator.device.type != "cpu" or _has_address_limit()))


def _has_address_limit() -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def fit_memory(
    accelerator: Accelerator, model: Any, plan: TrainingPlan, lengths: Sequence[int], epoch: int, *, n_shards: int = 1
) -> Fit:
    """Try the widest micro-batch of an epoch in more and more pieces until it fits; return the result for all processes.

    `lengths` holds the tokens of each training feature. Each trial runs a forward and a backward pass, with memory reserved
    for AdamW's two moments, of which each process will have one of `n_shards` parts; the weights do not change. Raises
    UsageError if the longest row alone does not fit. A model that will be sharded may fit later, with smaller gradients; for
    such a model, the most economical fit is returned.
    """
    micros = [micro for step in plan.epoch_batches(epoch) for micro in step[accelerator.process_index]]
    widest = max(micros, key=lambda micro: len(micro.features) * max(lengths[i] for i in micro.features))
    most_pieces = max(_on_all(accelerator, len(widest.features)))
    first_pieces = max(_on_all(accelerator, plan.n_pieces(widest)))
    plain = unwrapped(model)  # accelerator.unwrap_model would import an installed DeepSpeed, which takes seconds
    fit = Fit(1, False)
    while not all(
        _on_all(
            accelerator, _try_pass(accelerator, model, with_min_pieces(plan, fit.pieces), widest, (epoch, n_shards))
        )
    ):
        if fit.pieces < most_pieces:
            fit = replace(fit, pieces=min(2 * max(fit.pieces, first_pieces), most_pieces))
        elif not fit.checkpointing and plain.supports_gradient_checkpointing:
            _enable_checkpointing(plain)
            fit = replace(fit, checkpointing=True)
        elif n_shards > 1:
            return fit
        else:
            raise UsageError(
                f"a single row of {max(lengths)} tokens does not fit into the memory of {accelerator.device}: lower "
                "data.max_length, use a smaller model, or train fewer weights (method=lora)"
            )
    return fit


def _on_all(accelerator: Accelerator, value: Any) -> list[Any]:
    """Return the values of all processes. All processes must call it."""
    return list(gather_object([value])) if accelerator.num_processes > 1 else [value]


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Turn oneDNN off inside the context.

    When oneDNN cannot allocate memory for compiled code, every later call in the process fails with "could not create a
    primitive" (torch 2.13), also after memory was freed. A trial that is expected to run out of memory must not cause that.
    """
    before = torch.backends.mkldnn.enabled  # not mkldnn.flags(), which warns about a setting for Intel GPUs
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment] # torch declares no setter
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _enable_checkpointing(model: Any) -> None:
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(options)
    else:  # the name in earlier versions of transformers 5
        model.gradient_checkpointing_enable(options)


def _try_pass(
    accelerator: Accelerator, model: Any, plan: TrainingPlan, widest: MicroBatch, epoch_and_shards: tuple[int, int]
) -> bool:
    """Return whether a forward and backward pass over the micro-batch fits into memory."""
    epoch, n_shards = epoch_and_shards
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    reserved: list[Any] = []
    try:
        # AdamW's two moments, and the same size again for temporary tensors of clipping and update
        sizes = [-(-parameter.numel() // n_shards) for parameter in trained]
        reserved = [
            torch.empty(size, dtype=parameter.dtype, device=parameter.device)
            for size, parameter in zip(sizes, trained, strict=True)
            for _ in range(3)
        ]
        if n_shards > 1:
            reserved += [torch.empty_like(parameter) for parameter in model.parameters()]
            reserved.append(torch.empty(_SHARDING_RESERVE, dtype=torch.uint8, device=accelerator.device))
        on_cpu = accelerator.device.type == "cpu"
        if on_cpu:
            reserved.append(torch.empty(_ONEDNN_RESERVE, dtype=torch.uint8))
        model.train()
        with accelerator.no_sync(model), _without_onednn() if on_cpu else nullcontext():
            for batch in collate_pieces(plan, [widest], epoch):
                backward(accelerator, model, plan, batch, 1.0)
    except (torch.OutOfMemoryError, MemoryError):
        return False
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch's message on a CPU
            raise
        return False
    else:
        return True
    finally:
        del reserved
        for parameter in trained:
            parameter.grad = None
        gc.collect()
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
