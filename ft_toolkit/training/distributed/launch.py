"""Several processes: starting them on this machine, refusing what a launcher may ask, and which of them reports an error.

The processes are started by PyTorch's elastic launcher, the one below `torchrun` and `accelerate launch`, so it makes no
difference to a run who started it.
"""

import logging
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ft_toolkit.core.errors import LostProcessError, UsageError
from ft_toolkit.training.distributed.fsdp import is_true, read_sharding
from ft_toolkit.training.distributed.zero import read_zero

# Set by Accelerate's launcher -> what it stands for, and why a run cannot be had that way.
_SHARDED = (
    "splits a model in ways that the toolkit's exact loss, its evaluation (each process its own number of batches) and its "
    "checkpoints do not know, and that cannot be tried without a GPU. Take distributed_type FSDP with fsdp_version 2, or "
    "DEEPSPEED, which split gradients and optimizer state, or MULTI_GPU or torchrun, where every process has all of it"
)
_REFUSED = {
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor or context parallelism",
}
# What counts the processes of an MPI launcher, which Accelerate reads too.
_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# Told to stop, a process finishes its step and saves: that long, in seconds, before it is killed. A dead process gets the
# others killed after PyTorch's own 30.
_SHUTDOWN_SECONDS = "300"


def check_launcher(
    environ: Mapping[str, str], *, processes: int | None, mixed_precision: str, max_grad_norm: float | None
) -> None:
    """Raise UsageError when a launcher asks for what a run cannot do, or would do otherwise than it seems."""
    for name, title in _REFUSED.items():
        if is_true(environ.get(name)):
            raise UsageError(f"{title} is not supported: it {_SHARDED}")
    read_sharding(environ)
    read_zero(environ, max_grad_norm)
    accumulate = environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if accumulate != "1":
        raise UsageError(
            f"Accelerate's launcher asks for {accumulate} gradient accumulation steps, but the recipe decides: set "
            f"training.gradient_accumulation_steps={accumulate} and leave them out of Accelerate's config"
        )
    precision = environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", mixed_precision):
        raise UsageError(
            f"Accelerate's launcher asks for mixed precision '{precision}', but the recipe decides, and it says "
            f"'{mixed_precision}': set training.mixed_precision, or leave it out of Accelerate's config"
        )
    counted = "WORLD_SIZE" in environ or any(name in environ for name in _MPI_SIZES)
    if "ACCELERATE_MIXED_PRECISION" in environ and "MASTER_PORT" in environ and not counted:
        raise UsageError(
            "Accelerate's launcher was asked for several processes on CPUs, and started one: it needs mpirun for more. Use "
            "'ftk run RECIPE --processes N', or torchrun"
        )
    world = int(environ.get("WORLD_SIZE", "1"))
    if processes is not None and "WORLD_SIZE" in environ and world != processes:
        raise UsageError(f"--processes {processes}, but a launcher started {world} already; leave one of them out")


def is_launched(environ: Mapping[str, str]) -> bool:
    """Say whether a launcher has started this process as one of several."""
    return "WORLD_SIZE" in environ


def own_command(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the command of this run in words that start it again, with all processes if they are on one machine."""
    words, world = ["ftk", *argv], environ.get("WORLD_SIZE", "1")
    one_machine = environ.get("LOCAL_WORLD_SIZE", world) == world
    if world != "1" and one_machine and not any(word.startswith("--processes") for word in words):
        words += ["--processes", world]
    return shlex.join(words)


def start(processes: int, words: Sequence[str]) -> int:
    """Run `ftk WORDS` in `processes` processes on this machine; return the exit code of the whole.

    That is 0, the code of the process that failed first, or 128 + the signal that stopped all. One that dies ends the others.
    Raises UsageError when there are fewer accelerators than processes, and LostProcessError when one was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_devices(processes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores // processes, 1)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _SHUTDOWN_SECONDS)
    # what it says of every signal it passes on, and of every process that it ends: said here in a line
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="ftk_") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=Path(logs).name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "ft_toolkit", *words)
        except SignalException as told:
            return 128 + int(told.sigval)
        except ChildFailedError as failed:
            return _exit_code({rank: failure.exitcode for rank, failure in failed.failures.items()}, processes)
    return 0


def _check_devices(processes: int) -> None:
    import torch

    from ft_toolkit.core.environment import use_cpu

    if not use_cpu() and (found := torch.accelerator.device_count()) < processes:
        raise UsageError(
            f"--processes {processes}: this machine has {found} accelerator{'s' if found != 1 else ''}; take at most as many, "
            "or train on the processor with ACCELERATE_USE_CPU=true"
        )


def _exit_code(codes: Mapping[int, int], processes: int) -> int:
    """Return the exit code of the process that failed first; raise LostProcessError when it could not speak for itself.

    `codes` has them by rank; a negative one is the signal that ended it, SIGTERM where the launcher did.
    """
    killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    spoken = [code for code in codes.values() if code > 0]
    if not killed:
        return spoken[0] if spoken else 128 + signal.SIGTERM
    rank, signum = next(iter(killed.items()))
    guess = " (the system does that when memory runs out)" if signum == signal.SIGKILL else ""
    raise LostProcessError(
        f"process {rank} of {processes} (counted from 0) was ended by {signal.Signals(signum).name}{guess}; the others were "
        "stopped. A run with a checkpoint goes on with --output FOLDER --resume"
    )


def speaks(environ: Mapping[str, str], *, lost_another: bool = False) -> bool:
    """Say whether this process is to report its error: the first to fail of those that a launcher started on this machine.

    With `lost_another`, its error follows from the end of another process. On one machine that process or the launcher
    says so; from several, it is said here too, after two seconds in which the cause may be reported.
    """
    error_file = environ.get("TORCHELASTIC_ERROR_FILE")
    if not error_file or environ.get("WORLD_SIZE", "1") == "1":
        return True
    if lost_another:
        if environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE"):
            return False
        time.sleep(2)
    try:
        # a folder that all processes of this launch on this machine share, and no other
        Path(error_file).parents[1].joinpath("first_error").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
