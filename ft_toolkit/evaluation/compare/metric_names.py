"""Find the metric that a user names, also by a common short name."""

from collections.abc import Iterable, Sequence

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of

# Short names and the metrics they stand for; the first one that the task has is taken.
_SHORT_NAMES = {
    "f1": ("f1_macro",),
    "precision": ("precision_macro",),
    "recall": ("recall_macro",),
    "acc": ("accuracy",),
    "em": ("exact_match",),
    "mcc": ("matthews_correlation",),
    "mse": ("mean_squared_error",),
    "mae": ("mean_absolute_error",),
    "ppl": ("perplexity",),
    "loss": ("loss_per_token",),
    "rouge": ("rougeL",),
}


def find_metric(name: str, allowed: Iterable[str], where: str) -> tuple[str, list[str]]:
    """Return the metric that `name` stands for, and a note when it is not the metric's full name.

    An exact name wins. Otherwise case, hyphens and underscores are ignored, and short names are replaced: f1 means f1_macro
    where there is no metric f1. `where` is the option that the name comes from. Raises UsageError for an unknown metric.
    """
    metrics = list(allowed)
    if name in metrics:
        return name, []
    spelled = {_normalized(metric): metric for metric in metrics}
    for candidate in (name, *_SHORT_NAMES.get(_normalized(name), ())):
        metric = spelled.get(_normalized(candidate))
        if metric is not None:
            return metric, [f"{where}: {name} means {metric} here"]
    raise UsageError(f"{where}: no metric '{name}'; allowed: {one_of(metrics)}.{did_you_mean(name, _near(metrics))}")


def _near(metrics: Sequence[str]) -> list[str]:
    return [*metrics, *(short for short, full in _SHORT_NAMES.items() if set(full) & set(metrics))]


def _normalized(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
