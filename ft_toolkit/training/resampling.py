"""Draw the features of an epoch by class, so that rare classes occur more often: pure functions of (classes, seed, epoch)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ft_toolkit.recipe.sections import Resampling
from ft_toolkit.training.batching import EpochBatches

# Separates the random numbers of the draw from the random numbers of the batches, which have the same seed and epoch.
_STREAM = 1


def draw_features(classes: Sequence[str], rule: Resampling, *, seed: int, epoch: int) -> list[int]:
    """Return as many features as `classes` has, in ascending order, with the shares of the classes that the rule gives.

    `classes` has the class of each feature. balanced: all classes have the same share; sqrt: the share is proportional to the
    square root of the number of features. If the share of a class grows, its features repeat equally often, and a random
    part of them once more. If it shrinks, a random part of its features is drawn, another one in each epoch.
    """
    rng = np.random.default_rng((seed, epoch, _STREAM))
    members = {name: np.flatnonzero(np.array(classes) == name) for name in sorted(Counter(classes))}
    drawn: list[int] = []
    for name, size in class_sizes({name: len(features) for name, features in members.items()}, rule).items():
        copies, rest = divmod(size, len(members[name]))
        drawn += members[name].tolist() * copies + rng.permutation(members[name])[:rest].tolist()
    return sorted(drawn)


def class_sizes(counts: dict[str, int], rule: Resampling) -> dict[str, int]:
    """Return the number of features of each class in an epoch: at least 1, with the same sum as `counts` if possible."""
    total = sum(counts.values())
    shares = {name: 1.0 if rule == "balanced" else count**0.5 for name, count in counts.items()}
    exact = {name: total * share / sum(shares.values()) for name, share in shares.items()}
    sizes = {name: max(int(size), 1) for name, size in exact.items()}
    remainders = sorted(exact, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in remainders[: max(total - sum(sizes.values()), 0)]:
        sizes[name] += 1
    return sizes


def with_features(batches: EpochBatches, drawn: Sequence[int]) -> EpochBatches:
    """Return batches of positions in `drawn` as batches of features."""
    return [
        [[replace(micro, features=tuple(drawn[i] for i in micro.features)) for micro in micros] for micros in step]
        for step in batches
    ]
