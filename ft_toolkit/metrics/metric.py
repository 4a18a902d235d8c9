"""The definition of a metric: a function of two arrays, and facts about its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One number for a whole split.

    `fn(predictions, references)` takes two arrays whose first axis is the example and returns a float, NaN where the metric
    is undefined. It is called once on all examples and once per bootstrap resample, so it should only sum and divide. A
    metric that compares texts or spans does the comparison in the task's `to_arrays`: row i of `predictions` then holds the
    counts of prediction i against its reference, row i of `references` the counts of the reference against itself.
    """

    fn: Callable[[np.ndarray, np.ndarray], float]
    # The value of perfect predictions.
    best: float = 1.0
    greater_is_better: bool = True
    # Whether every value is between 0 and `best`, so that a bar can show it.
    is_share: bool = False
    # Whether the metric is the mean of one value per example, each between 0 and `best`. Implies `is_share`. If all
    # these values are 0 or `best`, the metric is the share of right examples and has Wilson's interval.
    is_mean: bool = False
    # Whether the metric is the unweighted mean of one score per class, which is too low on few rows per class.
    is_macro: bool = False
    # Whether the metric is Pearson's correlation of two numbers per example, which has Fisher's interval.
    is_pearson: bool = False
    # Whether the metric scores the second of exactly two labels only. It is skipped for other numbers of labels.
    needs_two_labels: bool = False
    # Whether the value depends on the tokenizer, so that models with different tokenizers cannot be compared.
    depends_on_tokenizer: bool = False
    # Whether the metric needs no generated texts, in a task that also generates. While it selects the checkpoint, evaluations
    # during training generate nothing.
    needs_no_generation: bool = False
    # Whether only the report shows the metric, not the console.
    is_detail: bool = False
    # Other names that users may give the metric on the command line ("acc"), in any case and without hyphens or underscores.
    short_names: tuple[str, ...] = ()
    # The Hub's id of the metric for the model card, and its arguments there. None uses the task's name of the metric.
    hub_name: str | None = None
    hub_arguments: Mapping[str, str] = field(default_factory=dict)
