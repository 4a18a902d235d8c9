"""Which features go into which batch: pure functions of (lengths, seed, epoch). No torch, no state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ft_toolkit.core.errors import DataError

# Features are sorted by length inside windows of this many, so that an epoch stays random and padding stays small.
WINDOW = 4096
# Padded tokens of an evaluation batch on a CPU: more fall out of its caches (docs/speed.md).
CPU_TOKENS = 1536


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass on one rank. `weight` is 0 for a filler that evens out the ranks of the last step."""

    features: tuple[int, ...]
    weight: float = 1.0


Plan = list[list[list[MicroBatch]]]


def plan_epoch(
    lengths: Sequence[int],
    *,
    tokens_per_batch: int | None,
    examples_per_batch: int | None,
    world_size: int,
    accumulate: int,
    seed: int,
    epoch: int,
) -> Plan:
    """Return plan[step][rank][micro] for one epoch: every feature exactly once, similar lengths together.

    With `tokens_per_batch`, a micro-batch holds as many features as fit that many padded tokens. With
    `examples_per_batch`, a step holds world_size * accumulate * examples_per_batch features, and which ones is the same
    however that product is split. Raises DataError when a feature alone exceeds tokens_per_batch.
    """
    rng = np.random.default_rng((seed, epoch))
    per_step = world_size * accumulate
    if tokens_per_batch is not None:
        micros = _budgeted(_windows(lengths, rng, WINDOW), lengths, tokens_per_batch)
        shuffled = [micros[i] for i in rng.permutation(len(micros))]
        steps = [shuffled[i : i + per_step] for i in range(0, len(shuffled), per_step)]
    else:
        assert examples_per_batch is not None
        step_size = per_step * examples_per_batch
        windows = _windows(lengths, rng, max(WINDOW // step_size, 1) * step_size)
        groups = [window[i : i + step_size] for window in windows for i in range(0, len(window), step_size)]
        shuffled_groups = [groups[i] for i in rng.permutation(len(groups))]
        steps = [_cut(group, examples_per_batch) for group in shuffled_groups]
    plan: Plan = []
    for step in steps:
        filled = [MicroBatch(tuple(features)) for features in step]
        filled += [MicroBatch(filled[0].features, weight=0.0)] * (per_step - len(filled))
        plan.append([filled[rank::world_size] for rank in range(world_size)])
    return plan


def plan_evaluation(lengths: Sequence[int], *, tokens_per_batch: int, world_size: int) -> list[list[tuple[int, ...]]]:
    """Return batches[rank]: every feature exactly once over all ranks, longest first, within the token budget."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches = [tuple(batch) for batch in reversed(_budgeted([order], lengths, max(tokens_per_batch, max(lengths))))]
    return [batches[rank::world_size] for rank in range(world_size)]


def _windows(lengths: Sequence[int], rng: np.random.Generator, size: int) -> list[list[int]]:
    order = rng.permutation(len(lengths)).tolist()
    return [sorted(order[start : start + size], key=lambda i: lengths[i]) for start in range(0, len(order), size)]


def _budgeted(windows: list[list[int]], lengths: Sequence[int], budget: int) -> list[list[int]]:
    longest = max(lengths)
    if longest > budget:
        raise DataError(
            f"the longest example has {longest} tokens and does not fit training.tokens_per_batch={budget}; "
            "raise that, or lower data.max_length"
        )
    batches: list[list[int]] = []
    for window in windows:
        batch: list[int] = []
        for i in window:  # ascending, so lengths[i] is the padded width of the batch so far
            if batch and lengths[i] * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    return batches


def _cut(group: list[int], size: int) -> list[list[int]]:
    return [group[i : i + size] for i in range(0, len(group), size)]
