"""FSDP2: shard weights, gradients and optimizer state over the processes, if Accelerate's launcher requests it.

    sharded     the model that is trained: each process holds a shard of every weight; a block's weights are gathered for its
                forward and backward pass and freed afterwards
    full        a copy of the model on every process, in CPU memory, for evaluation and checkpoints. So each process evaluates
                its own number of batches, and the files have the same content as without FSDP

This module calls PyTorch's `fully_shard` directly, because Accelerate 1.15 ignores FSDP on CPUs without a warning (it looks
only for accelerators). Therefore Accelerate must not see that FSDP is requested: `environment.hidden_variables`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from ft_toolkit.core.environment import FSDP
from ft_toolkit.core.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Unsupported options of Accelerate's config, by variable, with the remedy. They change where memory is used, but no result.
_UNSUPPORTED = {
    "FSDP_OFFLOAD_PARAMS": "remove fsdp_offload_params: these models fit on one device",
    "FSDP_ACTIVATION_CHECKPOINTING": "remove fsdp_activation_checkpointing and use smaller micro-batches",
}


@dataclass(frozen=True)
class Sharding:
    """Whether FSDP is requested, and whether a block's weights are freed between its forward and its backward pass."""

    is_requested: bool = False
    reshard_after_forward: bool = True


class ShardedModel:
    """A model in two forms: `sharded` over the processes for training, `full` on each process for everything else."""

    def __init__(self, model: Any, full: Any, device: "torch.device", processes: int, sharding: Sharding) -> None:
        """Shard `model`, which is on `device`, in place and block by block; `full` is a copy of it.

        Create the optimizer afterwards. All processes take the weights of the main process, as with DDP.
        """
        from torch.distributed import broadcast
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        from ft_toolkit.training.speedups.frozen_blocks import block_stacks

        self.sharded, self.full, self._device = model, full, device
        for copy in (model, full):
            for parameter in copy.parameters():
                broadcast(parameter.detach(), 0)
        full.to("cpu")
        mesh = init_device_mesh(device.type, (processes,))
        for block in chain.from_iterable(block_stacks(model)):
            fully_shard(block, mesh=mesh, reshard_after_forward=sharding.reshard_after_forward)
        fully_shard(model, mesh=mesh)

    @contextmanager
    def gathered(self, *, changes: bool = False) -> Iterator[None]:
        """Gather the current weights into `full`, on the device, for the duration of the context. All processes must enter.

        With `changes`, weights that all processes change in `full` in the same way are copied back for further training.
        """
        from ft_toolkit.training.optimizer import trainable_parameters

        full = dict(trainable_parameters(self.full.to(self._device)))
        shards = dict(trainable_parameters(self.sharded))
        for name, shard in shards.items():
            _copy(_gather(shard.detach()), full[name])
        yield
        if changes:
            for name, shard in shards.items():
                _copy(_shard_like(full[name].detach(), shard), shard)
        self.full.to("cpu")


def read_sharding(environ: Mapping[str, str]) -> Sharding:
    """Return the FSDP settings of a launcher's environment. Raises UsageError for settings that are not supported."""
    if not is_true(environ.get(FSDP)):
        return Sharding()
    version = environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise UsageError(
            f"Accelerate's launcher requests FSDP version {version}; only version 2 is supported: set fsdp_version: 2 in "
            "Accelerate's config (FSDP_VERSION=2)"
        )
    for name, remedy in _UNSUPPORTED.items():
        if is_true(environ.get(name)):
            raise UsageError(f"{name}={environ[name]} is not supported; {remedy}")
    reshard = environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower()
    if reshard not in ("true", "false"):
        raise UsageError(
            f"FSDP_RESHARD_AFTER_FORWARD={reshard} is not supported; allowed with FSDP version 2: true, false"
        )
    return Sharding(is_requested=True, reshard_after_forward=reshard == "true")


def is_true(value: str | None) -> bool:
    """Return whether the value of an environment variable means true."""
    return (value or "").lower() in ("1", "true", "yes")


def gather_state(optimizer: Any, *, keep: bool) -> dict[str, Any]:
    """Return the optimizer's state without sharding. All processes must call it; only those with `keep` receive the state."""
    state_dict: dict[str, Any] = optimizer.state_dict()
    gathered: dict[int, dict[str, Any]] = {}
    for index, moments in state_dict["state"].items():
        for name, value in moments.items():
            full = _gather(value)
            if keep:
                gathered.setdefault(index, {})[name] = full.cpu() if full is not value else value
    return {**state_dict, "state": gathered}


def shard_state(state_dict: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """Return a full optimizer state, sharded like the parameters of `optimizer`."""
    state = dict(state_dict["state"])
    for saved_group, group in zip(state_dict["param_groups"], optimizer.param_groups, strict=True):
        for index, parameter in zip(saved_group["params"], group["params"], strict=True):
            if index in state:
                state[index] = {
                    name: _shard_like(value, parameter) if value.shape == parameter.shape else value
                    for name, value in state[index].items()
                }
    return {**state_dict, "state": state}


def _gather(value: Any) -> Any:
    """Return a sharded tensor as a full tensor, any other value unchanged."""
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def _copy(value: "Tensor", into: "Tensor") -> None:
    """Copy a value into a parameter with the same sharding."""
    import torch

    with torch.no_grad():
        into.copy_(value)


def _shard_like(value: "Tensor", parameter: "Tensor") -> "Tensor":
    """Return the full tensor `value`, sharded like the parameter."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
