"""What this machine is: versions, processor, devices, cache. No torch until it is asked for."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What Accelerate's launcher sets where FSDP or DeepSpeed is asked for.
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
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None where it is missing."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


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
    """Return the names of the accelerators that PyTorch sees."""
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ["Apple MPS"] if torch.backends.mps.is_available() else []


def use_cpu() -> bool:
    """Return whether to run on the CPU: there is nothing else, or ACCELERATE_USE_CPU says so.

    Accelerate must be told: on a machine without an accelerator it takes each process of torchrun for a run of its own.
    """
    import torch

    return (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.accelerator.is_available()
    )


def multiplies_bfloat16() -> bool:
    """Return whether what training runs on has instructions for products of bfloat16 numbers."""
    import torch

    if use_cpu():
        found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has none
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))  # the last is ARM's
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def seconds_since_start() -> float:
    """Return for how long this process has been running."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def free_memory_bytes() -> int:
    """Return the memory of this machine that is free for use now."""
    import psutil

    return int(psutil.virtual_memory().available)


def peak_memory_mib() -> int:
    """Return the largest resident size of this process so far, in MiB; 0 where the system does not tell."""
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
def unseen(*names: str) -> Iterator[None]:
    """Inside, Accelerate and transformers do not see the variables `names`: by default, that FSDP or DeepSpeed is asked for.

    transformers would leave all weights but the first process's unread (FSDP_CPU_RAM_EFFICIENT_LOADING, which Accelerate's
    launcher sets by itself) for Accelerate to send.
    """
    found = {name: os.environ.pop(name) for name in names or (FSDP, DEEPSPEED) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(found)
