"""The pooled vectors of the training features before training: the linear probe computes them for the baseline on embeddings.

Both read the features in the same order and batches, so a baseline that computes the vectors itself, as after a resume, gets
bitwise the same ones.
"""

from dataclasses import dataclass

import numpy as np

from ft_toolkit.recipe.sections import Pooling


@dataclass
class FrozenVectors:
    """The vectors of all training features by number, shape (features, width), and their pooling; None if not computed."""

    vectors: np.ndarray | None = None
    pooling: Pooling | None = None


def reading_order(n_features: int, seed: int) -> np.ndarray:
    """Return the numbers of the training features in a random order, which depends on the two arguments only."""
    return np.random.default_rng(seed).permutation(n_features)
