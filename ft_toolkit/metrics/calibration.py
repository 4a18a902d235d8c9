"""Do probabilities mean what they say? Temperature, calibration error and selective accuracy; numpy only.

Shapes: `logits` and `probabilities` (n, labels); `truth` (n,) label indices for one label per example, or a 0/1 matrix
(n, labels) for several, in which case each label of each example is a yes-or-no decision of its own.
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray
# Equal-width bins, as many as Guo et al. 2017 (arXiv:1706.04599) take.
N_BINS = 15
TEMPERATURES = (0.05, 20.0)
# Probabilities come rounded to six digits: one of several labels' is taken no nearer to 0 or 1 than this.
_NEAREST = 1e-6
# The smallest probability that has a logarithm here.
_TINY = 1e-300
_GOLDEN = (math.sqrt(5) - 1) / 2


def probabilities_of(logits: Array, *, several: bool, temperature: float = 1.0) -> Array:
    """Return softmax (one label) or sigmoid (several) of logits / temperature, in float64."""
    scaled = logits.astype(np.float64) / temperature
    if several:
        return np.asarray(np.exp(-np.logaddexp(0, -scaled)))
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def cooled(probabilities: Array, temperature: float, *, several: bool) -> Array:
    """Return what the probabilities would be at temperature 1: the inverse of the division in `probabilities_of`."""
    if several:
        inside = np.clip(probabilities, _NEAREST, 1 - _NEAREST)
        return probabilities_of(np.log(inside / (1 - inside)) * temperature, several=True)
    return probabilities_of(np.log(np.maximum(probabilities, _TINY)) * temperature, several=False)


def fit_temperature(logits: Array, truth: Array) -> float:
    """Return the temperature that minimises the negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    Where every example is right, the likelihood alone would send it to 0. Its logarithm therefore has a standard normal
    prior, which weighs as much as a few examples: it decides on few rows and vanishes on many.
    """
    several = truth.ndim == 2

    def cost(logarithm: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(logarithm)
        if several:
            loss = float(np.logaddexp(0, np.where(truth == 1, -scaled, scaled)).sum())
        else:
            top = scaled.max(axis=1)
            whole = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
            loss = float((whole - scaled[np.arange(len(truth)), truth]).sum())
        return loss + logarithm**2 / 2

    low, high = map(math.log, TEMPERATURES)
    # The sum need not have one minimum alone: a grid finds the lowest valley, the golden section its bottom.
    grid = np.linspace(low, high, 61).tolist()
    best = min(range(len(grid)), key=lambda i: cost(grid[i]))
    return round(math.exp(_bottom(cost, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])), 4)


def _bottom(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one valley between low and high is lowest, within 1e-6."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = cost(a), cost(b)
    while high - low > 1e-6:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = cost(b)
    return (low + high) / 2


def claims(probabilities: Array, truth: Array) -> tuple[Array, Array]:
    """Return two arrays (n, k): how likely each claim of the model is said to be, and whether it is true.

    One label per example: one claim, the most likely label. Several: each label is a claim.
    """
    if truth.ndim == 2:
        return probabilities, truth.astype(float)
    right = probabilities.argmax(axis=1) == truth
    return probabilities.max(axis=1)[:, None], right.astype(float)[:, None]


def brier_scores(probabilities: Array, truth: Array) -> Array:
    """Return each example's squared distance from the truth (Brier 1950): summed over the labels of which one is true, so
    from 0 to 2; the mean where several may be.
    """
    if truth.ndim == 2:
        return np.asarray(((probabilities - truth) ** 2).mean(axis=1))
    return np.asarray(((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(axis=1))


def log_losses(probabilities: Array, truth: Array) -> Array:
    """Return each example's negative log-likelihood in nats, the mean over its labels where several may be true."""
    if truth.ndim == 2:
        given = np.where(truth == 1, probabilities, 1 - probabilities)
        return np.asarray(-np.log(np.maximum(given, _NEAREST)).mean(axis=1))
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY)))


def bin_numbers(said: Array) -> Array:
    """Return the bin of each probability, 0 to N_BINS - 1; a bin holds its upper border."""
    return np.asarray(np.clip(np.ceil(said * N_BINS).astype(int) - 1, 0, N_BINS - 1))


def bin_sums(said: Array, true: Array) -> tuple[Array, Array, Array]:
    """Return count, summed probability and summed truth of each bin."""
    numbers = bin_numbers(said).ravel()
    return (
        np.bincount(numbers, minlength=N_BINS),
        np.bincount(numbers, said.ravel(), N_BINS),
        np.bincount(numbers, true.ravel(), N_BINS),
    )


def calibration_error(said: Array, true: Array) -> float:
    """Return the expected calibration error (Naeini et al. 2015) over N_BINS equal-width bins.

    It is never negative: few examples show some error even where there is none (see `chance_errors`).
    """
    _, sum_said, sum_true = bin_sums(said, true)
    return float(np.abs(sum_said - sum_true).sum() / said.size)


def chance_errors(said: Array, *, samples: int, seed: int) -> Array:
    """Return calibration errors of a model that is right exactly as often as it says, on as many examples.

    Outcomes are drawn from the probabilities themselves (consistency resampling, Broecker and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    return np.array([calibration_error(said, (rng.random(said.shape) < said).astype(float)) for _ in range(samples)])


def wilson_95(hits: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share (Wilson 1927), which also holds for shares of 0 and 1."""
    z, share = 1.959964, hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def selective_errors(sureness: Array, right: Array) -> Array:
    """Return, for k = 1 ... n, the share of errors among the k examples the model is surest of, shape (n,).

    Examples of equal sureness come in no order: each counts as the mean of them.
    """
    _, group, sizes = np.unique(-sureness, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, 1.0 - right) / sizes
    return np.asarray(np.cumsum(np.repeat(wrong, sizes)) / np.arange(1, len(right) + 1))
