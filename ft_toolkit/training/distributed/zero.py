"""ZeRO by DeepSpeed: optimizer state and gradients split over the processes, as Accelerate's launcher asks for it.

The weights stay whole on every process (stages 1 and 2), so evaluation and files are those of any other run. DeepSpeed is
called here and not through Accelerate, whose `backward` would also clip, update and zero: when a step ends, the loop decides.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_toolkit.core.environment import DEEPSPEED
from ft_toolkit.core.errors import UsageError
from ft_toolkit.training.distributed.fsdp import is_true

if TYPE_CHECKING:
    import torch

_INSTALL = "pip install 'ft-toolkit[deepspeed]'"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_ELSEWHERE = "take distributed_type FSDP with fsdp_version 2, which splits the weights as well"


@dataclass(frozen=True)
class Zero:
    """What a launcher asks for: the stage (0: nothing), and what else DeepSpeed's `zero_optimization` block says."""

    stage: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class ZeroOptimizer:
    """An optimizer whose state is split over the processes, and reads and loads as if it were whole.

    `engine` is the model to pass forward through while training, which prepares the backward pass.
    """

    def __init__(
        self, model: "torch.nn.Module", optimizer: "torch.optim.Optimizer", zero: Zero, max_grad_norm: float | None
    ) -> None:
        warnings.filterwarnings("ignore", message="`torch.distributed.all_gather_into_tensor` is deprecated")
        import deepspeed

        # its own reduction in shared memory would be compiled here, and only for processes of one machine
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self._groups = optimizer.state_dict()["param_groups"]
        self._parameters = [list(group["params"]) for group in optimizer.param_groups]
        self.engine, self._zero, _, _ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            dist_init_required=False,
            config={
                "train_micro_batch_size_per_gpu": 1,  # it wants one, and counts its samples with it, no more
                "managed_gradient_accumulation": False,
                "gradient_clipping": max_grad_norm or 0.0,
                "zero_optimization": {**zero.options, "stage": zero.stage},
                "zero_allow_untested_optimizer": True,
            },
        )
        # stage 2 reduces after every micro-batch, and refuses to be told otherwise
        self.engine.no_sync = nullcontext

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups with their learning rates; their parameters are this process's shares."""
        groups: list[dict[str, Any]] = self._zero.param_groups
        return groups

    def update(self) -> float:
        """Clip the gradient, change the weights, and return the norm before clipping; not finite, it changes nothing."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    @contextmanager
    def taking_weights(self) -> Iterator[None]:
        """What is changed in the model inside, alike on all processes, is trained further."""
        yield
        self._zero.refresh_fp32_params()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as torch's AdamW would. All processes must call."""
        from deepspeed.utils import safe_get_full_optimizer_state

        state: dict[int, dict[str, Any]] = {}
        if self._steps() is not None:
            self._link()
            for index, parameter in self._numbered():
                state[index] = {name: safe_get_full_optimizer_state(parameter, name).cpu() for name in _MOMENTS}
                # one for each: torch counts in place, so one for all would count once per parameter
                state[index]["step"] = self._steps().to("cpu", copy=True)
        return {"state": state, "param_groups": self._groups}

    def load_state_dict(self, whole: Mapping[str, Any]) -> None:
        """Take over a whole state of torch's AdamW over the same parameters."""
        import torch
        from deepspeed.utils import safe_set_full_optimizer_state

        if not whole["state"]:
            return
        for share in self._zero.single_partition_of_fp32_groups:
            steps = next(iter(whole["state"].values()))["step"]
            self._zero.optimizer.state[share] = {
                "step": steps.to(share.device, copy=True),
                **{name: torch.zeros_like(share) for name in _MOMENTS},
            }
        self._link()
        for index, parameter in self._numbered():
            for name in _MOMENTS:
                safe_set_full_optimizer_state(parameter, whole["state"][index][name], name)

    def _numbered(self) -> Iterator[tuple[int, "torch.nn.Parameter"]]:
        for group, parameters in zip(self._groups, self._parameters, strict=True):
            yield from zip(group["params"], parameters, strict=True)

    def _steps(self) -> Any:
        """Return the number of steps so far, as the optimizer keeps it, None before the first."""
        share = self._zero.single_partition_of_fp32_groups[0]
        return self._zero.optimizer.state.get(share, {}).get("step")

    def _link(self) -> None:
        """Tell each parameter where its moments lie. DeepSpeed 0.19.8 does so after the first group's first update, when the
        other groups have none yet, and never again."""
        self._zero._hp_optimizer_states_linked = False
        self._zero._lazy_init_hp_params_optimizer_state()


def read_zero(environ: Mapping[str, str], max_grad_norm: float | None) -> Zero:
    """Return what a launcher's environment asks for. Raises UsageError for a DeepSpeed that a run cannot have."""
    if not is_true(environ.get(DEEPSPEED)):
        return Zero()
    for what in ("OPTIMIZER", "PARAM"):
        name = f"ACCELERATE_DEEPSPEED_OFFLOAD_{what}_DEVICE"
        if environ.get(name, "none").lower() != "none":
            raise UsageError(f"{name}={environ[name]} is not supported: these models fit on one device; leave it out")
    if path := environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        zero = _read_file(Path(path), max_grad_norm)
    else:
        zero = Zero(_stage(environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"), "Accelerate's launcher"))
        _check_clipping(environ.get("ACCELERATE_GRADIENT_CLIPPING", "auto"), max_grad_norm, "Accelerate's launcher")
    from importlib.util import find_spec

    if find_spec("deepspeed") is None:
        raise UsageError(f"Accelerate's launcher asks for DeepSpeed, which is not installed here: {_INSTALL}")
    return zero


def _read_file(path: Path, max_grad_norm: float | None) -> Zero:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: DeepSpeed's config cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path}: DeepSpeed's config must be a JSON object")
    _check_clipping(config.pop("gradient_clipping", "auto"), max_grad_norm, str(path))
    options = config.pop("zero_optimization", {})
    if decided := [name for name, value in config.items() if not _is_open(value)]:
        raise UsageError(
            f'{path}: {", ".join(decided)}: the recipe decides; write "auto", or leave it out. Read are zero_optimization and '
            "gradient_clipping"
        )
    if not isinstance(options, dict):
        raise UsageError(f'{path}: zero_optimization must be a JSON object, such as {{"stage": 2}}')
    options = {name: value for name, value in options.items() if value != "auto"}
    if offloaded := [name for name, value in options.items() if name.startswith("offload") and not _is_open(value)]:
        raise UsageError(f"{path}: {', '.join(offloaded)}: not supported: these models fit on one device; leave it out")
    stage = _stage(options.pop("stage", 0), str(path))
    return Zero(stage, {name: value for name, value in options.items() if not name.startswith("offload")})


def _stage(found: object, where: str) -> int:
    if str(found) in ("1", "2"):
        return int(str(found))
    remedy = {
        "0": "which splits nothing: take distributed_type MULTI_GPU, or torchrun",
        "3": _ELSEWHERE,
    }.get(str(found), "allowed: 1, 2")
    raise UsageError(f"{where} asks for ZeRO stage {found}; {remedy}")


def _check_clipping(found: object, max_grad_norm: float | None, where: str) -> None:
    """The recipe decides, so what is found must be open or the same."""
    if str(found).lower() in ("auto", "none"):
        return
    try:
        same = float(str(found)) == (max_grad_norm or 0.0)
    except ValueError:
        same = False
    if not same:
        raise UsageError(
            f"{where} asks for gradient clipping at {found}, but the recipe decides, and it says {max_grad_norm}: set "
            "training.max_grad_norm, or leave it out there"
        )


def _is_open(value: object) -> bool:
    """Return whether a value of DeepSpeed's config leaves the decision to others, or turns something off."""
    if isinstance(value, Mapping):
        return all(_is_open(inner) for inner in value.values())
    return value in ("auto", "none", None, False)
