"""Estimate the disk space that a run needs, and check it before the first step."""

import shutil
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import CHECKPOINTS
from ft_toolkit.models.adapters import ParameterCount
from ft_toolkit.recipe.methods import Method, saves_adapter

# Bytes of a weight, and of its two moments in AdamW.
_WEIGHT, _MOMENTS = 4, 8
# Predictions, tokenizer, report and other small files.
_OTHER_FILES = 16 * 2**20


def needed_bytes(count: ParameterCount, method: Method) -> int:
    """Return the largest size of a run folder during the run.

    While a checkpoint is written, there are three of them (the last one, the one before it, and the new one) and three files of
    best weights. The model folder is written after training, beside two of each.
    """
    weights, state = _WEIGHT * count.trainable, (_WEIGHT + _MOMENTS) * count.trainable
    model = _WEIGHT * (count.trainable if saves_adapter(method) else count.total)
    return max(3 * state + 3 * weights, 2 * state + 2 * weights + model) + _OTHER_FILES


def check_disk_space(folder: Path, count: ParameterCount, method: Method) -> None:
    """Raise UsageError if the disk of a run folder has too little free space for a run."""
    present = sum(path.stat().st_size for path in (folder / CHECKPOINTS).rglob("*") if path.is_file())
    needed, free = needed_bytes(count, method) - present, shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{folder}: the run needs about {describe_size(needed)} for checkpoints and the model, but the disk has "
            f"{describe_size(free)} free. Free some space, choose another --output, or train fewer weights (method: lora)"
        )


def describe_size(size: int) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
