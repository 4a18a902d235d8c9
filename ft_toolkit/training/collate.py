"""Turn feature ids into padded tensors. No worker processes. Only the task's corruption is random, per feature and epoch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from ft_toolkit.data.batches import EVALUATION, pad_inputs, read_feature
from ft_toolkit.tasks.base import Batch, Features, Task


class Collate(Protocol):
    """collate(feature_ids, weight, epoch) -> Batch."""

    def __call__(self, feature_ids: Sequence[int], weight: float = 1.0, epoch: int = EVALUATION) -> Batch: ...


def make_collate(features: Features, task: Task, schema: Any, pad_token_id: int, seed: int = 0) -> Collate:
    """Return collate(feature_ids, weight, epoch) -> Batch, which pads on the right to the longest feature of the batch.

    Features without targets (prediction) give an empty targets tensor. The task's corruption (masked words) depends only
    on (seed, epoch, feature), so it does not change with the split of an epoch into batches and processes.

    Packed blocks (`position_ids`) get no attention mask. They get `use_cache=False`: with a cache, transformers 5.23 reads
    the position ids of a block as those of a single text, and the documents of the block attend to each other.
    """
    with_targets = task.corrupt is not None or (bool(features.targets) and features.targets[0] is not None)

    def collate(feature_ids: Sequence[int], weight: float = 1.0, epoch: int = EVALUATION) -> Batch:
        examples = [read_feature(features, task, schema, i, epoch, seed) for i in feature_ids]
        padded = pad_inputs([tokens for tokens, _ in examples], pad_token_id)
        inputs = {name: torch.from_numpy(array) for name, array in padded.inputs.items()}
        if "position_ids" in features.inputs:
            inputs["use_cache"] = torch.tensor(False)
        targets = (
            task.pad_targets([target for _, target in examples], padded.width, schema)
            if with_targets
            else torch.empty(0)
        )
        notes = tuple(features.notes[i] for i in feature_ids) if features.notes else ()
        return Batch(inputs, targets, tuple(feature_ids), padded.n_tokens, padded.n_padded, weight, notes)

    return collate


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on `device`."""
    inputs = {
        name: tensor.to(device, non_blocking=True)
        if tensor.dim()
        else tensor  # the CPU reads a switch such as use_cache
        for name, tensor in batch.inputs.items()
    }
    targets = batch.targets.to(device, non_blocking=True)
    return replace(batch, inputs=inputs, targets=targets)
