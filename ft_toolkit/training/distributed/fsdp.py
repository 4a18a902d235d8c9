"""FSDP2: weights, gradients and optimizer state split over the processes, as Accelerate's launcher asks for it.

    parts    while training: a process holds its share of each weight; a block is gathered for its pass, and let go after it
    plain    the whole model on every process, in the processor's memory; for evaluation, checkpoints and the end it takes the
             weights as they are. So a process evaluates its own number of batches, and files are those of any other run

PyTorch's `fully_shard` is called here and not through Accelerate, which on CPUs passes FSDP over in silence (1.15 looks for it
on accelerators only). So Accelerate must not see that it is asked for: `environment.unseen`.
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

# What Accelerate's config may ask for besides, its variable -> what to do instead. Each changes where memory goes, no number.
_LEFT_OUT = {
    "FSDP_OFFLOAD_PARAMS": "leave fsdp_offload_params out: these models fit on one device",
    "FSDP_ACTIVATION_CHECKPOINTING": "leave fsdp_activation_checkpointing out, and take smaller micro-batches",
}


@dataclass(frozen=True)
class Sharding:
    """Whether a model is to be split, and whether a block's weights are let go between its forward and its backward pass."""

    asked: bool = False
    reshard_after_forward: bool = True


class SplitModel:
    """A model in two forms: `parts` is trained, split over the processes; `plain` is whole, for all else."""

    def __init__(self, model: Any, plain: Any, device: "torch.device", processes: int, sharding: Sharding) -> None:
        """Split the model, which lies whole on `device`, in place and block by block; `plain` is a copy of it.

        Make the optimizer afterwards. Of the weights the first process's are taken, as DDP does.
        """
        from torch.distributed import broadcast
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        from ft_toolkit.training.speedups.frozen_blocks import stacks

        self.parts, self.plain, self._device = model, plain, device
        for one in (model, plain):
            for parameter in one.parameters():
                broadcast(parameter.detach(), 0)
        plain.to("cpu")
        mesh = init_device_mesh(device.type, (processes,))
        for block in chain.from_iterable(stacks(model)):
            fully_shard(block, mesh=mesh, reshard_after_forward=sharding.reshard_after_forward)
        fully_shard(model, mesh=mesh)

    @contextmanager
    def whole(self, *, changes: bool = False) -> Iterator[None]:
        """Inside, `plain` lies on the device with the weights as they are trained so far. All processes must come here.

        With `changes`, what was changed in it inside, alike on all processes, is trained further.
        """
        from ft_toolkit.training.optimizer import trainable_parameters

        plain = dict(trainable_parameters(self.plain.to(self._device)))
        parts = dict(trainable_parameters(self.parts))
        for name, part in parts.items():
            _copy(_full(part.detach()), plain[name])
        yield
        if changes:
            for name, part in parts.items():
                _copy(_like(plain[name].detach(), part), part)
        self.plain.to("cpu")


def read_sharding(environ: Mapping[str, str]) -> Sharding:
    """Return what a launcher's environment asks for. Raises UsageError for an FSDP that a run cannot have."""
    if not is_true(environ.get(FSDP)):
        return Sharding()
    version = environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise UsageError(
            f"Accelerate's launcher asks for FSDP version {version}; only version 2 is supported: set fsdp_version: 2 in "
            "Accelerate's config (FSDP_VERSION=2)"
        )
    for name, remedy in _LEFT_OUT.items():
        if is_true(environ.get(name)):
            raise UsageError(f"{name}={environ[name]} is not supported; {remedy}")
    reshard = environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower()
    if reshard not in ("true", "false"):
        raise UsageError(f"FSDP_RESHARD_AFTER_FORWARD={reshard}: FSDP version 2 knows true and false")
    return Sharding(asked=True, reshard_after_forward=reshard == "true")


def is_true(value: str | None) -> bool:
    """Return whether a launcher's variable says yes."""
    return (value or "").lower() in ("1", "true", "yes")


def whole_state(optimizer: Any, *, keep: bool) -> dict[str, Any]:
    """Return the optimizer's state as it would be if nothing were split; all processes must call, those that `keep` get it."""
    found: dict[str, Any] = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for index, moments in found["state"].items():
        for name, value in moments.items():
            full = _full(value)
            if keep:
                state.setdefault(index, {})[name] = full.cpu() if full is not value else value
    return {**found, "state": state}


def split_state(found: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """Return a whole optimizer state split as this optimizer's parameters are."""
    state = dict(found["state"])
    for saved, own in zip(found["param_groups"], optimizer.param_groups, strict=True):
        for index, parameter in zip(saved["params"], own["params"], strict=True):
            if index in state:
                state[index] = {
                    name: _like(value, parameter) if value.shape == parameter.shape else value
                    for name, value in state[index].items()
                }
    return {**found, "state": state}


def _full(value: Any) -> Any:
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def _copy(value: "Tensor", into: "Tensor") -> None:
    """Write the value into a parameter of the same kind, whole or split."""
    import torch

    with torch.no_grad():
        into.copy_(value)


def _like(value: "Tensor", parameter: "Tensor") -> "Tensor":
    """Return the value split as the parameter is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
