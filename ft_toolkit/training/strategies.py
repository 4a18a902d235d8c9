"""Where the weights, gradients and optimizer state of a run are stored: three strategies with one interface.

    Replicated      each process holds everything; DDP averages the gradients
    FullySharded    FSDP2: weights, gradients and optimizer state are sharded
    ZeroSharded     DeepSpeed ZeRO stage 1 or 2: optimizer state, and in stage 2 gradients, are sharded; the weights are not

The loop trains `model` through `optimizer` and `update`. Evaluation, checkpoints and the model folder use `plain`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator

from ft_toolkit.training.distributed.fsdp import ShardedModel, Sharding, gather_state, shard_state
from ft_toolkit.training.distributed.zero import Zero, ZeroOptimizer

MakeOptimizer = Callable[[torch.nn.Module], torch.optim.Optimizer]


class Strategy(Protocol):
    """A model and its optimizer on this process, ready for training."""

    # The module for the forward pass in training.
    model: Any
    optimizer: Any
    # A sentence about the sharding; None if no sharding was requested.
    description: str | None

    @property
    def plain(self) -> torch.nn.Module:
        """The unsharded model without wrappers, on every process. Its weights are current inside `gathered`."""

    def gathered(self, *, write_back: bool = False) -> AbstractContextManager[None]:
        """Gather the current weights into `plain` inside the context; `write_back` copies changes back for training.

        All processes must enter, and with `write_back` make the same changes.
        """

    def optimizer_state(self, *, keep: bool) -> dict[str, Any]:
        """Return the state of an unsharded AdamW. All processes must call it; those with `keep` receive the state."""

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Load the state of an unsharded AdamW."""

    def update(self) -> float:
        """Clip the gradient, update the weights, reset the gradient, and return the gradient norm before clipping.

        A norm that is not finite changes nothing.
        """

    def discard(self) -> None:
        """Reset the gradient without an update. All processes must call it."""


class Replicated:
    """All weights, gradients and optimizer state on each process."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        max_grad_norm: float | None = None,
        description: str | None = None,
    ) -> None:
        self._accelerator, self._max_grad_norm, self.description = accelerator, max_grad_norm, description
        # on the device before the optimizer is created: fused AdamW keeps its state on the device of the weights
        self._plain = model.to(accelerator.device)
        self.model, self.optimizer = accelerator.prepare(self._plain, make_optimizer(self._plain))

    @property
    def plain(self) -> torch.nn.Module:
        return self._plain

    def gathered(self, *, write_back: bool = False) -> AbstractContextManager[None]:
        return nullcontext()

    def optimizer_state(self, *, keep: bool) -> dict[str, Any]:
        return gather_state(self.optimizer, keep=keep)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)

    def update(self) -> float:
        return clip_and_step(self._accelerator, self.model, self.optimizer, self._max_grad_norm)

    def discard(self) -> None:
        self.optimizer.zero_grad()


class FullySharded:
    """FSDP2: each process holds a shard of the weights, the gradients and the optimizer state."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        max_grad_norm: float | None,
        sharding: Sharding,
    ) -> None:
        self._accelerator, self._max_grad_norm = accelerator, max_grad_norm
        self.description: str | None = _description(
            "weights, gradients and optimizer state", accelerator.num_processes, "FSDP2"
        )
        plain = _with_precision(accelerator, deepcopy(model))
        self.model: Any = _with_precision(accelerator, model.to(accelerator.device))
        self._sharded = ShardedModel(self.model, plain, accelerator.device, accelerator.num_processes, sharding)
        self.optimizer = accelerator.prepare_optimizer(make_optimizer(self.model))

    @property
    def plain(self) -> torch.nn.Module:
        module: torch.nn.Module = self._sharded.full
        return module

    def gathered(self, *, write_back: bool = False) -> AbstractContextManager[None]:
        return self._sharded.gathered(changes=write_back)

    def optimizer_state(self, *, keep: bool) -> dict[str, Any]:
        return gather_state(self.optimizer, keep=keep)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(shard_state(state, self.optimizer))

    def update(self) -> float:
        return clip_and_step(self._accelerator, self.model, self.optimizer, self._max_grad_norm)

    def discard(self) -> None:
        self.optimizer.zero_grad()


class ZeroSharded:
    """DeepSpeed ZeRO: each process holds all weights and a shard of the optimizer state, in stage 2 also of the gradients."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        max_grad_norm: float | None,
        zero: Zero,
    ) -> None:
        sharded = "optimizer state" if zero.stage == 1 else "gradients and optimizer state"
        self.description: str | None = _description(
            sharded, accelerator.num_processes, f"DeepSpeed, ZeRO stage {zero.stage}"
        )
        self._plain = model.to(accelerator.device)
        optimizer = make_optimizer(self._plain)
        self.optimizer = ZeroOptimizer(_with_precision(accelerator, self._plain), optimizer, zero, max_grad_norm)
        self.model: Any = self.optimizer.engine

    @property
    def plain(self) -> torch.nn.Module:
        return self._plain

    def gathered(self, *, write_back: bool = False) -> AbstractContextManager[None]:
        return self.optimizer.reading_weights() if write_back else nullcontext()

    def optimizer_state(self, *, keep: bool) -> dict[str, Any]:
        return gather_state(self.optimizer, keep=keep)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)

    def update(self) -> float:
        return self.optimizer.update()

    def discard(self) -> None:
        self.optimizer.discard()


def is_sharded(accelerator: Accelerator, requested: tuple[Sharding, Zero]) -> bool:
    """Return whether the model or its optimizer will be sharded: the launcher requests it, and there are several processes."""
    sharding, zero = requested
    return accelerator.num_processes > 1 and (sharding.is_requested or zero.stage > 0)


def choose_strategy(
    accelerator: Accelerator,
    model: torch.nn.Module,
    make_optimizer: MakeOptimizer,
    max_grad_norm: float | None,
    requested: tuple[Sharding, Zero],
) -> Strategy:
    """Return the strategy that the launcher requests. `model` is on the CPU; the strategy moves it to the device."""
    sharding, zero = requested
    if is_sharded(accelerator, requested):
        if sharding.is_requested:
            return FullySharded(accelerator, model, make_optimizer, max_grad_norm, sharding)
        return ZeroSharded(accelerator, model, make_optimizer, max_grad_norm, zero)
    description = None
    if sharding.is_requested or zero.stage:
        description = f"{'FSDP' if sharding.is_requested else 'DeepSpeed'} has no effect with a single process"
    return Replicated(accelerator, model, make_optimizer, max_grad_norm, description)


def clip_and_step(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float | None
) -> float:
    """Clip the gradient, step, reset the gradient, and return the norm before clipping; do nothing if it is not finite."""
    norm = accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or float("inf"))
    grad_norm = float(norm) if norm is not None else float("nan")
    if np.isfinite(grad_norm):
        optimizer.step()
        optimizer.zero_grad()
    return grad_norm


def _description(sharded: str, processes: int, backend: str) -> str:
    return f"{sharded} over {processes} processes ({backend}); checkpoints and the model folder are not sharded"


def _with_precision(accelerator: Accelerator, model: torch.nn.Module) -> Any:
    """Return the model with the run's autocast precision, without DDP."""
    return accelerator.prepare_model(model, evaluation_mode=True)
