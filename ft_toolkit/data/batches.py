"""Put features into batches of similar length, and pad them. Numpy only."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.base import Features, Task

# The epoch number of every evaluation. Its corruption depends on the tokens of the feature alone, not on the seed or the
# position of the row, so two runs see the same corrupted rows.
EVALUATION = 2**32 - 1


def evaluation_inputs(features: Features, task: Task, schema: Any, i: int) -> tuple[dict[str, list[int]], Any]:
    """Return the inputs and the target of feature `i` in an evaluation, with the task's corruption (masked words)."""
    return read_feature(features, task, schema, i, EVALUATION)


def read_feature(
    features: Features, task: Task, schema: Any, i: int, epoch: int, seed: int = 0
) -> tuple[dict[str, list[int]], Any]:
    """Return the inputs and the target of feature `i`, with the task's corruption, which depends on seed, epoch and feature."""
    inputs = {name: values[i] for name, values in features.inputs.items()}
    if task.corrupt is None:
        return inputs, features.targets[i]
    tokens_crc = zlib.crc32(np.array(inputs["input_ids"], np.int64).tobytes())
    rng = np.random.default_rng((EVALUATION, tokens_crc) if epoch == EVALUATION else (seed, epoch, i))
    return task.corrupt(inputs, features.notes[i], schema, rng)


def evaluation_batches(
    lengths: Sequence[int], *, tokens_per_batch: int, world_size: int
) -> list[list[tuple[int, ...]]]:
    """Return batches[rank] within the token budget, longest first. Each feature occurs once over all processes."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    budget = max(tokens_per_batch, max(lengths))
    batches = [tuple(batch) for batch in reversed(fill_to_budget([order], lengths, budget))]
    return [batches[rank::world_size] for rank in range(world_size)]


def fill_to_budget(
    windows: list[list[int]], lengths: Sequence[int], budget: int, decoder_lengths: Sequence[int] | None = None
) -> list[list[int]]:
    """Return batches of at most `budget` padded tokens; no batch crosses a window boundary."""
    longest = max(lengths)
    if longest > budget:
        raise DataError(
            f"the longest example has {longest} tokens, more than training.tokens_per_batch={budget}; "
            "raise training.tokens_per_batch or lower data.max_length"
        )
    batches: list[list[int]] = []
    for window in windows:
        batch: list[int] = []
        widths = 0, 0
        for i in window:
            second = 0 if decoder_lengths is None else decoder_lengths[i]
            wider = max(widths[0], lengths[i] - second), max(widths[1], second)
            if batch and sum(wider) * (len(batch) + 1) > budget:
                batches.append(batch)
                batch, wider = [], (lengths[i] - second, second)
            batch.append(i)
            widths = wider
        batches.append(batch)
    return batches


@dataclass(frozen=True)
class PaddedInputs:
    """The padded input of a batch, shape (features, tokens) for each name.

    `width` is the width of the decoder's input, or of the only input. `n_tokens` counts the tokens without padding,
    `n_padded` all of them.
    """

    inputs: dict[str, np.ndarray]
    width: int
    n_tokens: int
    n_padded: int


def pad_inputs(features: Sequence[Mapping[str, Sequence[int]]], pad_token_id: int) -> PaddedInputs:
    """Pad the inputs of features on the right to the longest feature, and add the attention mask.

    Inputs whose names begin with `decoder_` are padded to their own width and have their own mask. Packed blocks
    (`position_ids`) get no mask.
    """
    names = list(features[0])
    is_packed = "position_ids" in names
    inputs: dict[str, np.ndarray] = {}
    width = n_tokens = n_padded = 0
    for prefix in ("", "decoder_"):
        if f"{prefix}input_ids" not in names:
            continue
        lengths = np.array([len(tokens[f"{prefix}input_ids"]) for tokens in features])
        width = int(lengths.max())
        n_tokens, n_padded = n_tokens + int(lengths.sum()), n_padded + width * len(lengths)
        if not is_packed:  # in packed blocks the position ids separate the documents
            inputs[f"{prefix}attention_mask"] = (np.arange(width) < lengths[:, None]).astype(np.int64)
        for name in names:
            if name.startswith("decoder_") == bool(prefix):
                padded = np.full((len(features), width), pad_token_id if "input_ids" in name else 0, dtype=np.int64)
                for row, tokens in enumerate(features):
                    padded[row, : len(tokens[name])] = tokens[name]
                inputs[name] = padded
    return PaddedInputs(inputs, width, n_tokens, n_padded)
