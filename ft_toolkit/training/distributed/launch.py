"""Start the processes of a run on this machine, check the settings of other launchers, and report each error once.

The processes are started by PyTorch's elastic launcher, which `torchrun` and `accelerate launch` also use, so a run behaves
the same under each of them.
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
from ft_toolkit.core.signals import describe_exit
from ft_toolkit.training.distributed.fsdp import is_true, read_sharding
from ft_toolkit.training.distributed.zero import read_zero

# Variables of Accelerate's launcher for kinds of parallelism that are not supported.
_UNSUPPORTED = {
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor or context parallelism",
}
_UNSUPPORTED_REASON = (
    "its way to split a model does not work with the exact loss, the evaluation and the checkpoints of this toolkit. Use "
    "distributed_type FSDP with fsdp_version 2, or DEEPSPEED, to split gradients and optimizer state; or MULTI_GPU or torchrun "
    "for a full copy of the model on every process"
)
# Variables in which MPI launchers, which Accelerate supports, give the number of processes.
_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# Seconds that a process has after a signal to finish its step and save a checkpoint before it is killed. After the death of
# a process, PyTorch gives the others 30 seconds.
_SHUTDOWN_SECONDS = "300"
# The file that the first process to report an error creates.
_FIRST_ERROR = "first_error"
# Seconds in which another machine can report the cause of a lost connection.
_SECONDS_FOR_CAUSE = 2


def check_launcher(
    environ: Mapping[str, str], *, processes: int | None, mixed_precision: str, max_grad_norm: float | None
) -> None:
    """Raise UsageError if a launcher's settings are not supported or contradict the recipe."""
    for name, title in _UNSUPPORTED.items():
        if is_true(environ.get(name)):
            raise UsageError(f"{title} is not supported: {_UNSUPPORTED_REASON}")
    read_sharding(environ)
    read_zero(environ, max_grad_norm)
    accumulate = environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if accumulate != "1":
        raise UsageError(
            f"Accelerate's launcher sets {accumulate} gradient accumulation steps, which is a setting of the recipe: set "
            f"training.gradient_accumulation_steps={accumulate} and remove the setting from Accelerate's config"
        )
    precision = environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", mixed_precision):
        raise UsageError(
            f"Accelerate's launcher sets mixed precision '{precision}', but the recipe has '{mixed_precision}': set "
            f"training.mixed_precision={precision}, or remove the setting from Accelerate's config"
        )
    _check_process_count(environ, processes)


def _check_process_count(environ: Mapping[str, str], processes: int | None) -> None:
    """Raise UsageError if a launcher started another number of processes than the user asked for."""
    is_counted = "WORLD_SIZE" in environ or any(name in environ for name in _MPI_SIZES)
    if "ACCELERATE_MIXED_PRECISION" in environ and "MASTER_PORT" in environ and not is_counted:
        raise UsageError(
            "Accelerate's launcher was asked for several processes on CPUs and started only one, because it needs mpirun for "
            "more. Use 'ftk run RECIPE --processes N' or torchrun"
        )
    world_size = int(environ.get("WORLD_SIZE", "1"))
    if processes is not None and "WORLD_SIZE" in environ and world_size != processes:
        raise UsageError(
            f"--processes {processes}, but a launcher has already started {world_size}; remove --processes, or start "
            "the run without a launcher"
        )


def is_launched(environ: Mapping[str, str]) -> bool:
    """Return whether a launcher started this process as one of several."""
    return "WORLD_SIZE" in environ


def current_command(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the command that starts this run again, with the same number of processes if all are on one machine."""
    words, world_size = ["ftk", *arguments], environ.get("WORLD_SIZE", "1")
    is_one_machine = environ.get("LOCAL_WORLD_SIZE", world_size) == world_size
    if world_size != "1" and is_one_machine and not any(word.startswith("--processes") for word in words):
        words += ["--processes", world_size]
    return shlex.join(words)


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `ftk ARGUMENTS` in `processes` processes on this machine and return the exit code of the run.

    The exit code is 0, the code of the process that failed first, or 128 + the signal that stopped all processes. The death
    of one process ends the others. Raises UsageError if there are fewer accelerators than processes, and LostProcessError if
    a process was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_devices(processes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores // processes, 1)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _SHUTDOWN_SECONDS)
    # The launcher logs every signal and every process that it ends; the command line reports these events in one line.
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
            elastic_launch(config, sys.executable)("-m", "ft_toolkit", *arguments)
        except SignalException as stopped:
            return 128 + int(stopped.sigval)
        except ChildFailedError as failed:
            codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            if any(Path(logs).rglob(_FIRST_ERROR)):  # a process said why it failed, and the launcher ended the others
                return next((code for code in codes.values() if code > 0), 1)
            return _exit_code(codes, processes)
    return 0


def reports_errors(environ: Mapping[str, str], *, lost_another: bool = False) -> bool:
    """Return whether this process reports its error: only the first process to fail on a machine does.

    `lost_another` says that the error is a lost connection to another process. On one machine, that process or the launcher
    reports the cause, so this process stays silent. On several machines, it waits two seconds for the cause and then reports.
    """
    error_file = environ.get("TORCHELASTIC_ERROR_FILE")
    if not error_file or environ.get("WORLD_SIZE", "1") == "1":
        return True
    if lost_another:
        if environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE"):
            return False
        time.sleep(_SECONDS_FOR_CAUSE)
    try:
        # in a folder that exactly the processes of this launch on this machine share
        Path(error_file).parents[1].joinpath(_FIRST_ERROR).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _check_devices(processes: int) -> None:
    """Raise UsageError if there are fewer accelerators than processes."""
    import torch

    from ft_toolkit.core.environment import use_cpu

    if not use_cpu() and (n_devices := torch.accelerator.device_count()) < processes:
        raise UsageError(
            f"--processes {processes}: this machine has {n_devices} accelerator{'s' if n_devices != 1 else ''}; use at most "
            f"{n_devices}, or train on the CPU with ACCELERATE_USE_CPU=true"
        )


def _exit_code(codes: Mapping[int, int], processes: int) -> int:
    """Return the exit code of the process that failed first. Raises LostProcessError if a process was killed.

    `codes` has the exit codes by rank. A negative code is the signal that ended the process, SIGTERM if the launcher sent it.
    """
    killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    failed = [code for code in codes.values() if code > 0]
    if not killed:
        return failed[0] if failed else 128 + signal.SIGTERM
    rank, signum = next(iter(killed.items()))
    raise LostProcessError(
        f"process {rank} of {processes} (counted from 0) {describe_exit(-signum)}; the others "
        "were stopped. Resume from the last checkpoint with --output FOLDER --resume"
    )
