"""From planned feature ids to padded tensors. No workers, no random numbers: the features are tokenized already."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ft_toolkit.tasks.base import Batch, Features, Task

Collate = Callable[[Sequence[int], float], Batch]


def make_collate(features: Features, task: Task, schema: Any, pad_token_id: int) -> Collate:
    """Return collate(feature_ids, weight) -> Batch, padded on the right to the longest feature of the batch.

    Features without targets (prediction) give an empty targets tensor.
    """
    with_targets = bool(features.targets) and features.targets[0] is not None

    def collate(feature_ids: Sequence[int], weight: float = 1.0) -> Batch:
        lengths = np.array([len(features.inputs["input_ids"][i]) for i in feature_ids])
        width = int(lengths.max())
        inputs = {"attention_mask": torch.from_numpy((np.arange(width) < lengths[:, None]).astype(np.int64))}
        for name, values in features.inputs.items():
            padded = np.full((len(lengths), width), pad_token_id if name == "input_ids" else 0, dtype=np.int64)
            for row, (i, length) in enumerate(zip(feature_ids, lengths, strict=True)):
                padded[row, :length] = values[i]
            inputs[name] = torch.from_numpy(padded)
        targets = (
            task.pad_targets([features.targets[i] for i in feature_ids], width, schema)
            if with_targets
            else torch.empty(0)
        )
        return Batch(inputs, targets, tuple(feature_ids), int(lengths.sum()), width * len(lengths), weight)

    return collate


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on `device`."""
    inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.inputs.items()}
    targets = batch.targets.to(device, non_blocking=True)
    return Batch(inputs, targets, batch.feature_ids, batch.n_tokens, batch.n_padded, batch.weight)
