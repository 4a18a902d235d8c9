"""Temperature scaling, calibration error and selective accuracy, in numpy.

Shapes: `logits` and `probabilities` (n, labels); `truth` (n,) label indices, or for multi-label classification a 0/1 matrix
(n, labels), where each label of each example is a separate yes-or-no decision.
"""

import math
from collections.abc import Callable

import numpy as np

from ft_toolkit.metrics.clusters import Clusters

Array = np.ndarray
# Equal-width bins of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599).
N_BINS = 15
# On fewer rows the temperature stays 1. Any other temperature increases the loss of a calibrated model: with the temperature of
# highest likelihood, the loss on new rows was worse by over 0.005 nats in 43% of simulations on 50 rows and in 30% on 100 rows.
# With PRIOR_WEIGHT, and a temperature only if its interval excludes 1, the share was 4% on 100 rows and 3% on 500. The mean
# loss was 0.0010 and 0.0003 worse (before 0.0040 and 0.0013). A model with a true temperature of 3 keeps 99% of its gain on 100
# rows (with weight 10: 95%). See benchmarks/coverage.py.
MINIMUM_ROWS = 100
PRIOR_WEIGHT = 4.0
# The range of the temperature.
TEMPERATURES = (0.05, 20.0)
# Probabilities are stored with six digits, so multi-label ones are clipped to this distance from 0 and 1.
_NEAREST = 1e-6
# The smallest probability before taking a logarithm.
_TINY = 1e-300
_GOLDEN = (math.sqrt(5) - 1) / 2
# Half the 95% point of the chi-square distribution with 1 degree of freedom.
_HALF_CHI_SQUARE_95 = 1.9207
_BISECTIONS = 40
# Values that are computed together, so that intermediate arrays need at most 32 MB each. 50,000 rows of 1,000 labels have 12
# times as many.
_PART = 4_000_000


def _in_parts(compute: Callable[..., Array], *arrays: Array) -> Array:
    """Return `compute(*arrays)`, a function of single rows, with a limit on the size of intermediate arrays."""
    n, rows = len(arrays[0]), max(_PART // max(arrays[0][:1].size, 1), 1)
    if n <= rows:
        return compute(*arrays)
    parts = (compute(*(array[start : start + rows] for array in arrays)) for start in range(0, n, rows))
    first = next(parts)
    result = np.empty((n, *first.shape[1:]), first.dtype)
    result[:rows] = first
    for number, part in enumerate(parts, 1):
        result[number * rows : number * rows + len(part)] = part
    return result


def probabilities_of(logits: Array, *, multi_label: bool, temperature: float = 1.0) -> Array:
    """Return the softmax, or with `multi_label` the sigmoid, of logits / temperature, in float64."""
    return _in_parts(lambda part: _probabilities_of(part, temperature, multi_label=multi_label), logits)


def _probabilities_of(logits: Array, temperature: float, *, multi_label: bool) -> Array:
    scaled = logits.astype(np.float64) / temperature
    if multi_label:
        return np.asarray(np.exp(-np.logaddexp(0, -scaled)))
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def logits_of(probabilities: Array, *, multi_label: bool) -> Array:
    """Return logits with these probabilities: the inverse of `probabilities_of` at temperature 1."""
    if multi_label:
        return _in_parts(_logits_of_decisions, probabilities)
    return _in_parts(lambda part: np.asarray(np.log(np.maximum(part, _TINY))), probabilities)


def _logits_of_decisions(probabilities: Array) -> Array:
    inside = np.clip(probabilities, _NEAREST, 1 - _NEAREST)
    return np.asarray(np.log(inside / (1 - inside)))


def at_temperature_1(probabilities: Array, temperature: float, *, multi_label: bool) -> Array:
    """Return the probabilities without temperature scaling: the inverse of the division in `probabilities_of`."""

    def compute(part: Array) -> Array:
        logits = logits_of(part, multi_label=multi_label) * temperature
        return probabilities_of(logits, multi_label=multi_label).astype(part.dtype, copy=False)

    return _in_parts(compute, probabilities)


def fit_temperature(logits: Array, truth: Array) -> float:
    """Return the temperature that minimizes the negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    On fewer than MINIMUM_ROWS examples it is 1, and also if the 95% interval of the temperature contains 1. The logarithm of
    the temperature has a normal prior of weight PRIOR_WEIGHT: if all examples are right, the likelihood alone gives 0.
    """
    if len(truth) < MINIMUM_ROWS:
        return 1.0
    cost = _temperature_cost(logits, truth)
    best = _best_logarithm(cost)
    return 1.0 if cost(0.0) <= cost(best) + _HALF_CHI_SQUARE_95 else round(math.exp(best), 4)


def temperature_interval(logits: Array, truth: Array) -> tuple[float, float]:
    """Return the 95% likelihood-ratio interval of the temperature of these examples (Wilks 1938).

    It holds the temperatures whose cost is at most 1.92 above the minimum, and is cut off at the ends of TEMPERATURES.
    """
    cost = _temperature_cost(logits, truth)
    best = _best_logarithm(cost)
    most = cost(best) + _HALF_CHI_SQUARE_95
    ends = []
    for limit in map(math.log, TEMPERATURES):
        inside, outside = best, limit
        if cost(limit) <= most:
            inside = limit
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if cost(middle) <= most else (inside, middle)
        ends.append(math.exp(inside))
    return ends[0], ends[1]


def _best_logarithm(cost: Callable[[float], float]) -> float:
    """Return the logarithm of the temperature with the smallest cost."""
    low, high = map(math.log, TEMPERATURES)
    # The cost may have several minima: a grid finds the lowest valley, a golden-section search its minimum.
    grid = np.linspace(low, high, 61).tolist()
    best = min(range(len(grid)), key=lambda i: cost(grid[i]))
    return _minimum(cost, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])


def _temperature_cost(logits: Array, truth: Array) -> Callable[[float], float]:
    """Return the negative log-likelihood with the prior, as a function of the logarithm of the temperature."""
    multi_label = truth.ndim == 2

    def cost(logarithm: float) -> float:
        def losses(logits: Array, truth: Array) -> Array:
            scaled = logits.astype(np.float64) / math.exp(logarithm)
            if multi_label:
                return np.asarray(np.logaddexp(0, np.where(truth == 1, -scaled, scaled)))
            top = scaled.max(axis=1)
            log_sum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
            return np.asarray(log_sum - scaled[np.arange(len(truth)), truth])

        return float(_in_parts(losses, logits, truth).sum()) + PRIOR_WEIGHT * logarithm**2 / 2

    return cost


def _minimum(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimum of a function with one valley between low and high, to 1e-6, by golden-section search."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    cost_a, cost_b = cost(a), cost(b)
    while high - low > 1e-6:
        if cost_a < cost_b:
            high, b, cost_b = b, a, cost_a
            a = high - _GOLDEN * (high - low)
            cost_a = cost(a)
        else:
            low, a, cost_a = a, b, cost_b
            b = low + _GOLDEN * (high - low)
            cost_b = cost(b)
    return (low + high) / 2


def claims(probabilities: Array, truth: Array) -> tuple[Array, Array]:
    """Return two arrays (n, k): the probability of each claim of the model, and whether the claim is true (0 or 1).

    With one label per example, the claim is the most likely label (k = 1). Multi-label: each label is a claim.
    """
    if truth.ndim == 2:
        return probabilities, truth.astype(float)
    correct = probabilities.argmax(axis=1) == truth
    return probabilities.max(axis=1)[:, None], correct.astype(float)[:, None]


def brier_scores(probabilities: Array, truth: Array) -> Array:
    """Return the Brier score of each example (Brier 1950), shape (n,).

    It is the squared distance from the truth: the sum over labels, from 0 to 2, or for multi-label the mean over labels.
    """
    if truth.ndim == 2:
        return _in_parts(lambda part, true: np.asarray(((part - true) ** 2).mean(axis=1)), probabilities, truth)
    one_hot = np.eye(probabilities.shape[1])
    return _in_parts(lambda part, true: np.asarray(((part - one_hot[true]) ** 2).sum(axis=1)), probabilities, truth)


def log_losses(probabilities: Array, truth: Array) -> Array:
    """Return the negative log-likelihood of each example in nats, shape (n,); for multi-label the mean over labels."""
    if truth.ndim == 2:
        likelihoods = np.where(truth == 1, probabilities, 1 - probabilities)
        return np.asarray(-np.log(np.maximum(likelihoods, _NEAREST)).mean(axis=1))
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY)))


def bin_numbers(claimed: Array) -> Array:
    """Return the bin of each probability, 0 to N_BINS - 1; a bin includes its upper edge."""
    return np.asarray(np.clip(np.ceil(claimed * N_BINS).astype(int) - 1, 0, N_BINS - 1))


def bin_sums(claimed: Array, true: Array) -> tuple[Array, Array, Array]:
    """Return the count, the sum of probabilities and the number of true claims of each bin."""
    numbers = bin_numbers(claimed).ravel()
    return (
        np.bincount(numbers, minlength=N_BINS),
        np.bincount(numbers, claimed.ravel(), N_BINS),
        np.bincount(numbers, true.ravel(), N_BINS),
    )


def calibration_error(claimed: Array, true: Array) -> float:
    """Return the expected calibration error (Naeini et al. 2015) over N_BINS equal-width bins.

    It is never negative: few examples show some error even for a calibrated model (see `chance_errors`).
    """
    _, sum_claimed, sum_true = bin_sums(claimed, true)
    return float(np.abs(sum_claimed - sum_true).sum() / claimed.size)


def chance_errors(claimed: Array, *, samples: int, seed: int) -> Array:
    """Return the calibration errors of a perfectly calibrated model with these probabilities, shape (samples,).

    Outcomes are drawn from the probabilities (consistency resampling, Broecker and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    return np.array(
        [calibration_error(claimed, (rng.random(claimed.shape) < claimed).astype(float)) for _ in range(samples)]
    )


def clustered_chance_errors(claimed: Array, true: Array, clusters: Clusters, *, samples: int, seed: int) -> Array:
    """Return the calibration errors of a perfectly calibrated model on clustered examples, shape (samples,).

    The outcomes of a cluster are not independent, so they cannot be drawn from the probabilities. Instead, the differences
    between outcomes and probabilities have a random sign for each cluster (wild bootstrap, Cameron, Gelbach and Miller 2008).
    """
    per_bin = (true - claimed)[:, :, None] * (bin_numbers(claimed)[:, :, None] == np.arange(N_BINS))
    sums = clusters.sums(per_bin.sum(axis=1))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (samples, clusters.n))
    return np.asarray(np.abs(signs @ sums).sum(axis=1) / claimed.size)


def selective_errors(confidence: Array, correct: Array) -> Array:
    """Return, for k = 1 ... n, the share of errors among the k examples with the highest confidence, shape (n,).

    Examples with equal confidence count with the mean of their errors.
    """
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    errors = np.bincount(group, 1.0 - correct) / sizes
    return np.asarray(np.cumsum(np.repeat(errors, sizes)) / np.arange(1, len(correct) + 1))
