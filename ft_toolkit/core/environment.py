"""Facts about this machine: package versions, processor, memory and devices. Imports torch only inside functions."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Set by Accelerate's launcher when FSDP or DeepSpeed is requested.
FSDP, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"

PACKAGES = (
    "ft-toolkit",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "evaluate",
    "peft",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "scikit-learn",
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None for a package that is not installed."""
    installed: dict[str, str | None] = {}
    for name in packages:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = None
    return installed


def machine() -> dict[str, Any]:
    """Return system, processor, usable cores and memory in GiB."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "python": platform.python_version(),
    }


def devices() -> list[str]:
    """Return the names of the accelerators that PyTorch can use."""
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ["Apple MPS"] if torch.backends.mps.is_available() else []


def use_cpu() -> bool:
    """Return whether to run on the CPU: there is no accelerator, or ACCELERATE_USE_CPU is set.

    Pass the result to Accelerate. Without it, Accelerate treats each torchrun process on a CPU machine as a separate run.
    """
    import torch

    return (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.accelerator.is_available()
    )


def multiplies_bfloat16() -> bool:
    """Return whether the training device has instructions for bfloat16 products."""
    import torch

    if use_cpu():
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 lacks the function
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # bf16 on ARM
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def seconds_since_start() -> float:
    """Return the age of this process in seconds."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def free_memory_bytes() -> int:
    """Return the available memory of this machine in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def peak_memory_mib() -> int:
    """Return the peak resident memory of this process in MiB; 0 where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return None


@contextmanager
def hidden_variables(*names: str) -> Iterator[None]:
    """Remove the environment variables `names` inside the context; by default those that request FSDP or DeepSpeed.

    With FSDP_CPU_RAM_EFFICIENT_LOADING, which Accelerate's launcher sets, transformers reads the weights on the first process
    only and expects Accelerate to distribute them.
    """
    removed = {name: os.environ.pop(name) for name in names or (FSDP, DEEPSPEED) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)
