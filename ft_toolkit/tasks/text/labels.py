"""From a cell of labels, as files and data sets hold them, to a training target."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import DataError, did_you_mean, one_of

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


def names_of(value: Any, problem_type: ProblemType) -> list[str]:
    """Return the label names of one row as text; several labels in a text file are separated by '|'."""
    if problem_type == "multi_label_classification":
        if isinstance(value, str):
            return [name.strip() for name in value.split("|") if name.strip()]
        return [str(name) for name in value] if isinstance(value, (list, tuple)) else []
    return [str(value)]


def sorted_names(names: set[str]) -> list[str]:
    """Return label names in order, whole numbers by their value."""
    numbers = all(re.fullmatch("-?[0-9]+", name) for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names)


def check_labels(labels: tuple[str, ...], n_rows: int, problem_type: ProblemType, given: bool) -> None:
    """Raise DataError for labels that no classifier can be trained on; `given` ones were chosen by the user."""
    if not labels:
        raise DataError(
            "the training rows have no label at all; problem_type=multi_label_classification needs lists of them"
        )
    if len(labels) < 2 and problem_type == "single_label_classification":
        raise DataError(f"the training rows have one label only ({one_of(labels)}); a classifier needs at least two")
    if len(set(labels)) < len(labels):
        raise DataError(f"task.labels names a label twice: {one_of(labels)}")
    if not given and len(labels) > max(20, n_rows // 2):
        raise DataError(
            f"{n_rows} training rows have {len(labels)} different labels (such as {labels[0]!r}, {labels[-1]!r}): is "
            "data.columns.label the right column? For numbers set task.problem_type=regression, for lists "
            "task.problem_type=multi_label_classification."
        )


def index_of(name: str, labels: Sequence[str], where: str) -> int:
    """Return the position of a label, or the number that stands for it; raise DataError where there is no such label."""
    if name in labels:
        return labels.index(name)
    if name.isdecimal() and int(name) < len(labels) and not any(label.isdecimal() for label in labels):
        return int(name)  # files that store the label's number
    raise DataError(f"{where}: label {name!r} is not among the labels {one_of(labels)}.{did_you_mean(name, labels)}")


def target_of(value: Any, problem_type: ProblemType, labels: Sequence[str], where: str) -> Any:
    """Return the training target of one row: an index, a 0/1 list, or a number. Raises DataError, with `where`."""
    if problem_type == "regression":
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise DataError(f"{where}: label {value!r} is not a number, as problem_type=regression needs") from None
        if not np.isfinite(number):
            raise DataError(f"{where}: label {value!r} is not a finite number")
        return number
    if problem_type == "multi_label_classification":
        if not isinstance(value, (list, tuple, str)):
            raise DataError(f"{where}: label {value!r} is not a list of labels (in text files: names separated by '|')")
        chosen = {index_of(name, labels, where) for name in names_of(value, problem_type)}
        return [int(index in chosen) for index in range(len(labels))]
    if isinstance(value, (list, tuple)):
        raise DataError(f"{where}: label {value!r} is a list; set task.problem_type=multi_label_classification")
    if isinstance(value, dict):
        raise DataError(f"{where}: label {value!r} is an object; text or a number is needed")
    return index_of(str(value), labels, where)
