"""The device and the precision of a loaded model.

Accelerate keeps one precision per process. A model from `ft_toolkit.load` must keep its own, whatever the process trains or
loads before and after it.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ft_toolkit.core.environment import use_cpu


@dataclass(frozen=True)
class SingleProcess:
    """One process on one device; `mixed_precision` is "no" or "bf16". Has the part of Accelerator that `Predictor` uses."""

    device: torch.device
    mixed_precision: str
    num_processes: int = 1
    process_index: int = 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for a forward pass: bfloat16 autocast, or float32."""
        if self.mixed_precision == "no":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def inference_device(mixed_precision: str) -> SingleProcess:
    """Return the accelerator of this machine, or its CPU, with a precision."""
    accelerator = None if use_cpu() else torch.accelerator.current_accelerator()
    return SingleProcess(accelerator or torch.device("cpu"), mixed_precision)
