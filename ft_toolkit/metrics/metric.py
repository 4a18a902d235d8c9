"""The form of a metric."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One number for a whole split.

    `fn(predictions, references)` takes two arrays whose first axis is the example, and returns a float; it is called once
    on all examples and once per bootstrap resample. `best` is its value for perfect predictions. With `is_mean` it is
    the mean over the examples of a value from 0 to `best`, which each example has by itself.

    What stands in the arrays is the task's business. Where comparing is dear (n-grams of texts, spans), `to_arrays` does it
    once: a row of `predictions` holds the counts of the example's prediction against its reference, a row of `references`
    those of the reference against itself, and `fn` only adds up.
    """

    fn: Callable[[np.ndarray, np.ndarray], float]
    best: float = 1.0
    greater_is_better: bool = True
    is_mean: bool = False
