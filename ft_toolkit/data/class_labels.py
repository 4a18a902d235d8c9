"""Class labels of `datasets` features, in the JSON form of `Features.to_dict`: numbers with names."""

from collections.abc import Mapping, Sequence
from typing import Any


def label_names(value: Any, feature: Any) -> Any:
    """Return the name of a class label, or the names of a list of them; other values unchanged.

    `datasets` marks hidden labels with -1. They become None, as does a list that has only -1. A number without a name is kept.
    """
    names = names_of_classes(feature)
    if not names:
        return value
    if not isinstance(value, list):
        return _name(value, names)
    items = [_name(item, names) for item in value]
    return None if items and all(item is None for item in items) else items


def names_of_classes(feature: Any) -> tuple[str, ...]:
    """Return the names of a ClassLabel, or of a list of ClassLabels; empty for other features."""
    if isinstance(feature, list):  # the form of a list before datasets 4
        return names_of_classes(feature[0]) if len(feature) == 1 else ()
    if not isinstance(feature, Mapping):
        return ()
    if feature.get("_type") == "ClassLabel":
        return tuple(map(str, feature.get("names") or ()))
    return names_of_classes(feature["feature"]) if feature.get("_type") in ("List", "LargeList", "Sequence") else ()


def _name(value: Any, names: Sequence[str]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool) or value >= len(names):
        return value
    return names[value] if value >= 0 else None
