"""FSDP2: weights, gradients and optimizer state split over the processes, as Accelerate's launcher asks for it.

    while training      every process holds its part of each weight; a block is gathered for its pass, and let go after it
    whole(model)        inside, every process holds all weights: it evaluates its own number of batches, it saves plain files
    after training      a plain model is built anew, as a resumed run builds it, and takes the best weights

PyTorch's `fully_shard` is called here and not through Accelerate, which on CPUs passes FSDP over in silence (1.15 looks for it
on accelerators only). So Accelerate must not see that it is asked for: `unseen`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from ft_toolkit.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ASKED = "ACCELERATE_USE_FSDP"
_TRUE = ("1", "true", "yes")
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

    def split(self, model: Any, device: "torch.device", processes: int) -> None:
        """Split the weights of a model that lies whole on `device`, in place, block by block.

        Call it before the optimizer is made, and on all processes. Of the weights the first process's are taken, as DDP does.
        """
        from torch.distributed import broadcast
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        from ft_toolkit.savings.frozen import stacks

        mesh = init_device_mesh(device.type, (processes,))
        for parameter in model.parameters():
            broadcast(parameter.detach(), 0)
        for block in chain.from_iterable(stacks(model)):
            fully_shard(block, mesh=mesh, reshard_after_forward=self.reshard_after_forward)
        fully_shard(model, mesh=mesh)

    @contextmanager
    def whole(self, model: Any, *, changes: bool = False) -> Iterator[None]:
        """Inside, the model's weights are plain and whole on every process, and a pass through it exchanges nothing.

        All processes must come here, not at the same moment. With `changes`, weights that were changed inside, alike on
        all, are kept. A model that is not split stays as it is.
        """
        units = _units(model)
        parts = dict(model.named_parameters()) if units else {}
        for unit in units:
            unit.unshard()
            unit.set_reshard_after_forward(False, recurse=False)
        full: dict[str, Tensor] = {}
        try:
            yield
            if units and changes:
                full = {name: one.detach().clone() for name, one in model.named_parameters()}
        finally:
            for unit in units:
                unit.reshard()
                # the root is needed again at once when the backward pass begins
                unit.set_reshard_after_forward(self.reshard_after_forward and unit is not model, recurse=False)
        for name, value in full.items():
            put(parts[name], value)


def read_sharding(environ: Mapping[str, str]) -> Sharding:
    """Return what a launcher's environment asks for. Raises UsageError for an FSDP that a run cannot have."""
    if environ.get(_ASKED, "").lower() not in _TRUE:
        return Sharding()
    version = environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise UsageError(
            f"Accelerate's launcher asks for FSDP version {version}; only version 2 is supported: set fsdp_version: 2 in "
            "Accelerate's config (FSDP_VERSION=2)"
        )
    for name, remedy in _LEFT_OUT.items():
        if environ.get(name, "").lower() in _TRUE:
            raise UsageError(f"{name}={environ[name]} is not supported; {remedy}")
    reshard = environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower()
    if reshard not in ("true", "false"):
        raise UsageError(f"FSDP_RESHARD_AFTER_FORWARD={reshard}: FSDP version 2 knows true and false")
    return Sharding(asked=True, reshard_after_forward=reshard == "true")


@contextmanager
def unseen() -> Iterator[None]:
    """Inside, Accelerate and transformers do not see that FSDP is asked for.

    transformers would leave all weights but the first process's unread (FSDP_CPU_RAM_EFFICIENT_LOADING, which Accelerate's
    launcher sets by itself) for Accelerate to send.
    """
    found = os.environ.pop(_ASKED, None)
    try:
        yield
    finally:
        if found is not None:
            os.environ[_ASKED] = found


def put(parameter: "Tensor", value: "Tensor") -> None:
    """Write a whole value, the same on all processes, into a parameter that may be split."""
    import torch

    with torch.no_grad():
        parameter.copy_(_like(value, parameter))


def whole_state(optimizer: Any, *, keep: bool) -> dict[str, Any]:
    """Return the optimizer's state as it would be if nothing were split; all processes must call, those that `keep` get it."""
    found: dict[str, Any] = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for index, moments in found["state"].items():
        full = {name: _full(value) for name, value in moments.items()}
        if keep:
            state[index] = full
    return {**found, "state": state}


def split_state(found: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """Return a whole optimizer state split as this optimizer's parameters are."""
    state = dict(found["state"])
    for saved, own in zip(found["param_groups"], optimizer.param_groups, strict=True):
        for index, parameter in zip(saved["params"], own["params"], strict=True):
            state[index] = {
                name: _like(value, parameter) if value.shape == parameter.shape else value
                for name, value in state.get(index, {}).items()
            }
    return {**found, "state": state}


def _full(value: Any) -> Any:
    from torch.distributed.tensor import DTensor

    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _like(value: "Tensor", parameter: "Tensor") -> "Tensor":
    """Return the value split as the parameter is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def _units(model: Any) -> list[Any]:
    """Return the modules whose weights are gathered together, the model itself first; none where it is not split."""
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]
