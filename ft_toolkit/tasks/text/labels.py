"""Conversion of label values, as found in files and data sets, to training targets."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import DataError, did_you_mean, one_of

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


def names_of(value: Any, problem_type: ProblemType) -> list[str]:
    """Return the label names of a row. In text files, several labels are separated by '|'."""
    if problem_type == "multi_label_classification":
        if isinstance(value, str):
            return [name.strip() for name in value.split("|") if name.strip()]
        return [str(name) for name in value] if isinstance(value, (list, tuple)) else []
    return [str(value)]


def sorted_names(names: set[str]) -> list[str]:
    """Return label names in order, integers by their value."""
    are_integers = all(re.fullmatch("-?[0-9]+", name) for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if are_integers else sorted(names)


def check_labels(labels: tuple[str, ...], n_rows: int, problem_type: ProblemType, *, is_chosen: bool) -> None:
    """Raise DataError for labels that no classifier can be trained on. `is_chosen` says that the user chose the labels."""
    if not labels:
        raise DataError(
            "the training rows have no labels; problem_type=multi_label_classification requires lists of labels"
        )
    if len(labels) < 2 and problem_type == "single_label_classification":
        raise DataError(f"the training rows have only one label ({one_of(labels)}); a classifier requires at least two")
    if len(set(labels)) < len(labels):
        raise DataError(f"task.labels contains a label twice: {one_of(labels)}")
    if not is_chosen and len(labels) > max(20, n_rows // 2):
        raise DataError(
            f"{n_rows} training rows have {len(labels)} different labels (such as {labels[0]!r}, {labels[-1]!r}). Check "
            "data.columns.label; for numbers set task.problem_type=regression, for lists of labels "
            "task.problem_type=multi_label_classification"
        )


def index_of(name: str, labels: Sequence[str], where: str) -> int:
    """Return the index of a label, given by its name or its index. Raises DataError, with `where`, for an unknown label."""
    if name in labels:
        return labels.index(name)
    if name.isdecimal() and int(name) < len(labels) and not any(label.isdecimal() for label in labels):
        return int(name)  # files that store the index of the label
    raise DataError(
        f"{where}: unknown label {name!r}; known: {one_of(labels)}.{did_you_mean(name, labels)} Correct the row, or add the "
        "label to the training rows (and to task.labels, if that is set)"
    )


def target_of(value: Any, problem_type: ProblemType, labels: Sequence[str], where: str) -> Any:
    """Return the training target of a row: an index, a 0/1 list, or a number. Raises DataError, with `where`."""
    if problem_type == "regression":
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise DataError(
                f"{where}: label {value!r} is not a number, which problem_type=regression requires"
            ) from None
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
        raise DataError(f"{where}: label {value!r} is an object; it must be text or a number")
    return index_of(str(value), labels, where)
