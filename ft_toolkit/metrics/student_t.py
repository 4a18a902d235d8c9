"""Student's t distribution, for intervals of a mean of few values; without SciPy, which is not a dependency."""

import math

_STEPS = 200


def central_probability(t: float, degrees: int) -> float:
    """Return the probability that a t-distributed value with `degrees` degrees of freedom is between -t and t.

    Exact finite sums (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
    """
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of the t distribution for a probability above 0.5, by bisection. `degrees` is at least 1."""
    low, high = 0.0, 1.0
    while central_probability(high, degrees) < 2 * probability - 1:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if central_probability(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2
