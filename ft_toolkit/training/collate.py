"""Turn feature ids into padded tensors. No worker processes. Only the task's corruption is random, per feature and epoch."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from ft_toolkit.data.batches import pad_inputs
from ft_toolkit.tasks.base import Batch, Features, Task

# The epoch number of every evaluation. Its corruption depends on the tokens of the feature alone, not on the seed or the
# position of the row, so two runs see the same corrupted rows.
EVALUATION = 2**32 - 1


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

    def read_feature(i: int, epoch: int) -> tuple[dict[str, list[int]], Any]:
        inputs = {name: values[i] for name, values in features.inputs.items()}
        if task.corrupt is None:
            return inputs, features.targets[i]
        tokens_crc = zlib.crc32(np.array(inputs["input_ids"], np.int64).tobytes())
        rng = np.random.default_rng((EVALUATION, tokens_crc) if epoch == EVALUATION else (seed, epoch, i))
        return task.corrupt(inputs, features.notes[i], schema, rng)

    def collate(feature_ids: Sequence[int], weight: float = 1.0, epoch: int = EVALUATION) -> Batch:
        examples = [read_feature(i, epoch) for i in feature_ids]
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
