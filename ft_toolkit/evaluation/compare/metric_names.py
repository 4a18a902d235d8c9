"""Find the metric that a user names, also by a short name of it."""

from collections.abc import Mapping

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.metrics.metric import Metric


def find_metric(name: str, metrics: Mapping[str, Metric], where: str) -> tuple[str, list[str]]:
    """Return the name of the metric that `name` stands for, and a note when it is not the metric's full name.

    An exact name wins. Otherwise case, hyphens and underscores are ignored, and short names are replaced: f1 means f1_macro
    where there is no metric f1. `where` is the option that the name comes from. Raises UsageError for an unknown metric.
    """
    if name in metrics:
        return name, []
    by_short_name = {_normalized(short): full for full, metric in metrics.items() for short in metric.short_names}
    by_spelling = {_normalized(full): full for full in metrics}
    match = {**by_short_name, **by_spelling}.get(_normalized(name))
    if match is None:
        hint = did_you_mean(name, [*metrics, *by_short_name])
        raise UsageError(f"{where}: no metric '{name}'; allowed: {one_of(metrics)}.{hint}")
    return match, [f"{where}: {name} means {match} here"]


def _normalized(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
