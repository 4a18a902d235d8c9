"""ZeRO by DeepSpeed: shard optimizer state and gradients over the processes, if Accelerate's launcher requests it.

With stages 1 and 2 every process holds all weights, so evaluation and files are the same as without ZeRO. This module calls
DeepSpeed directly, because Accelerate's `backward` would also clip, update and zero the gradient; here the training loop
decides when a step ends.
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
# DeepSpeed's default.
_LARGEST_BUCKET = 500_000_000
_STAGE_ADVICE = {
    "0": ", which shards nothing: use distributed_type MULTI_GPU, or torchrun",
    "3": ", which is not supported: use distributed_type FSDP with fsdp_version 2, which also shards the weights",
}


@dataclass(frozen=True)
class Zero:
    """The ZeRO settings of a launcher: the stage (0 if none is requested) and DeepSpeed's `zero_optimization` options."""

    stage: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class ZeroOptimizer:
    """An optimizer whose state is sharded over the processes, but is read and loaded as a full state.

    `engine` is the model for the forward passes of training; it prepares the backward pass.
    """

    def __init__(
        self, model: "torch.nn.Module", optimizer: "torch.optim.Optimizer", zero: Zero, max_grad_norm: float | None
    ) -> None:
        warnings.filterwarnings("ignore", message="`torch.distributed.all_gather_into_tensor` is deprecated")
        import deepspeed

        # DeepSpeed would compile its reduction in shared memory now, and it works only for processes on one machine
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self._groups = optimizer.state_dict()["param_groups"]
        self._parameters = [list(group["params"]) for group in optimizer.param_groups]
        n_trained = sum(parameter.numel() for parameters in self._parameters for parameter in parameters)
        self.engine, self._zero, _, _ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            dist_init_required=False,
            config={
                "train_micro_batch_size_per_gpu": 1,  # required, but used only to count samples
                "managed_gradient_accumulation": False,
                "gradient_clipping": max_grad_norm or 0.0,
                # DeepSpeed allocates a bucket of 5e8 numbers (2 GB) for any model, unless this is set
                "zero_optimization": {
                    "reduce_bucket_size": min(n_trained, _LARGEST_BUCKET),
                    **zero.options,
                    "stage": zero.stage,
                },
                "zero_allow_untested_optimizer": True,
            },
        )
        # stage 2 reduces gradients after every micro-batch, and raises an error if `no_sync` is called
        self.engine.no_sync = nullcontext

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups with their learning rates; the parameters are the shards of this process."""
        groups: list[dict[str, Any]] = self._zero.param_groups
        return groups

    def update(self) -> float:
        """Clip the gradient, update the weights, and return the norm before clipping; no update if it is not finite."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def discard(self) -> None:
        """Reset the gradient without an update. DeepSpeed does so for a gradient that overflows."""
        # not zero_grad, which keeps the shards of the gradient that stage 2 has reduced
        checks, self._zero.check_grad_overflow = self._zero.check_grad_overflow, True
        self._zero.has_overflow = lambda partition_gradients: True
        try:
            self.engine.step()
        finally:
            del self._zero.has_overflow
            self._zero.check_grad_overflow = checks

    @contextmanager
    def reading_weights(self) -> Iterator[None]:
        """Read the weights at the end of the context, after all processes changed them in the same way."""
        yield
        self._zero.refresh_fp32_params()

    def state_dict(self) -> dict[str, Any]:
        """Return the full state in the format of torch's AdamW. All processes must call it."""
        from deepspeed.utils import safe_get_full_optimizer_state

        state: dict[int, dict[str, Any]] = {}
        if self._steps() is not None:
            self._link()
            for index, parameter in self._numbered():
                state[index] = {name: safe_get_full_optimizer_state(parameter, name).cpu() for name in _MOMENTS}
                # a copy per parameter: torch increments it in place, so a shared one would count once per parameter
                state[index]["step"] = self._steps().to("cpu", copy=True)
        return {"state": state, "param_groups": self._groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a full state of torch's AdamW for the same parameters."""
        import torch
        from deepspeed.utils import safe_set_full_optimizer_state

        if not state_dict["state"]:
            return
        for shard in self._zero.single_partition_of_fp32_groups:
            steps = next(iter(state_dict["state"].values()))["step"]
            self._zero.optimizer.state[shard] = {
                "step": steps.to(shard.device, copy=True),
                **{name: torch.zeros_like(shard) for name in _MOMENTS},
            }
        self._link()
        for index, parameter in self._numbered():
            for name in _MOMENTS:
                safe_set_full_optimizer_state(parameter, state_dict["state"][index][name], name)

    def _numbered(self) -> Iterator[tuple[int, "torch.nn.Parameter"]]:
        for group, parameters in zip(self._groups, self._parameters, strict=True):
            yield from zip(group["params"], parameters, strict=True)

    def _steps(self) -> Any:
        """Return the optimizer's number of steps, None before the first step."""
        shard = self._zero.single_partition_of_fp32_groups[0]
        return self._zero.optimizer.state.get(shard, {}).get("step")

    def _link(self) -> None:
        """Link each parameter to its moments.

        DeepSpeed 0.19.8 does this only once, after the first update of the first group, when the other groups have no state.
        """
        self._zero._hp_optimizer_states_linked = False
        self._zero._lazy_init_hp_params_optimizer_state()


def read_zero(environ: Mapping[str, str], max_grad_norm: float | None) -> Zero:
    """Return the DeepSpeed settings of a launcher's environment. Raises UsageError for settings that are not supported."""
    if not is_true(environ.get(DEEPSPEED)):
        return Zero()
    for kind in ("OPTIMIZER", "PARAM"):
        name = f"ACCELERATE_DEEPSPEED_OFFLOAD_{kind}_DEVICE"
        if environ.get(name, "none").lower() != "none":
            raise UsageError(f"{name}={environ[name]} is not supported: these models fit on one device; remove it")
    if path := environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        zero = _read_config_file(Path(path), max_grad_norm)
    else:
        zero = Zero(_stage(environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"), "Accelerate's launcher"))
        _check_clipping(environ.get("ACCELERATE_GRADIENT_CLIPPING", "auto"), max_grad_norm, "Accelerate's launcher")
    from importlib.util import find_spec

    if find_spec("deepspeed") is None:
        raise UsageError(f"Accelerate's launcher requests DeepSpeed, which is not installed; run: {_INSTALL}")
    return zero


def _read_config_file(path: Path, max_grad_norm: float | None) -> Zero:
    """Return the settings of a DeepSpeed config file. Raises UsageError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot read this DeepSpeed config: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path}: a DeepSpeed config must be a JSON object")
    _check_clipping(config.pop("gradient_clipping", "auto"), max_grad_norm, str(path))
    options = config.pop("zero_optimization", {})
    if fixed := [name for name, value in config.items() if not _is_open(value)]:
        raise UsageError(
            f'{path}: {", ".join(fixed)}: the recipe sets the training; write "auto", or remove the setting. Allowed settings: '
            "zero_optimization, gradient_clipping"
        )
    if not isinstance(options, dict):
        raise UsageError(f'{path}: zero_optimization must be a JSON object, such as {{"stage": 2}}')
    options = {name: value for name, value in options.items() if value != "auto"}
    if offloaded := [name for name, value in options.items() if name.startswith("offload") and not _is_open(value)]:
        raise UsageError(
            f"{path}: {', '.join(offloaded)}: offloading is not supported, because these models fit on one device; remove it"
        )
    stage = _stage(options.pop("stage", 0), str(path))
    return Zero(stage, {name: value for name, value in options.items() if not name.startswith("offload")})


def _stage(value: object, source: str) -> int:
    """Return the ZeRO stage. Raises UsageError for a stage that is not supported; `source` is where it is set."""
    if str(value) in ("1", "2"):
        return int(str(value))
    raise UsageError(f"{source} requests ZeRO stage {value}{_STAGE_ADVICE.get(str(value), '; allowed: 1, 2')}")


def _check_clipping(value: object, max_grad_norm: float | None, source: str) -> None:
    """Raise UsageError if the clipping of the launcher or config differs from the recipe's."""
    if str(value).lower() in ("auto", "none"):
        return
    try:
        is_same = float(str(value)) == (max_grad_norm or 0.0)
    except ValueError:
        is_same = False
    if not is_same:
        raise UsageError(
            f"{source} sets gradient clipping to {value}, but the recipe has training.max_grad_norm={max_grad_norm}: change "
            "the recipe, or remove the other setting"
        )


def _is_open(value: object) -> bool:
    """Return whether a value of a DeepSpeed config is "auto" or turns the option off; of a mapping, whether all values do."""
    if isinstance(value, Mapping):
        return all(_is_open(inner) for inner in value.values())
    return value in ("auto", "none", None, False)
