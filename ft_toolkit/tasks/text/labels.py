"""Label names: which values of files mean the same label, and the training target of a row.

" café", "cafe\\u0301"     outer white space and the Unicode form do not matter: NFC without white space
1, "1", 1.0, "1.0"        one label; `read_label_values` writes it 1 if all labels of a column are whole numbers
True, "true", "TRUE"      one label
"Good", "good"            two labels, with a note
0, 1 for "no", "yes"      positions, only if something defines the order of the names (`DefinedLabels`)
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import DataError, did_you_mean, one_of

# The order of labels in model folders that do not say what defines it: earlier versions read numbers in this order.
EARLIER_ORDER = "the order of the model's labels"
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
_LONGEST_LABEL = 1000
_INVISIBLE = "\ufeff\u200b\u2060"
# Longer numbers are names: Python refuses to convert integers of thousands of digits.
_WHOLE_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.0*)?")


def label_name(value: Any) -> str:
    """Return the name of a label as text, in NFC, without white space around it."""
    text = unicodedata.normalize("NFC", str(value)).strip()
    return text.strip(_INVISIBLE).strip() if text[:1] in _INVISIBLE or text[-1:] in _INVISIBLE else text


def whole_number(name: str) -> str | None:
    """Return "3" for "3.0" and "3"; None for a name that is not a whole number."""
    match = _WHOLE_NUMBER.fullmatch(name)
    return None if match is None else "0" if match[1] == "-0" else match[1]


def label_key(name: str) -> str:
    """Return a text that is equal for names of the same label."""
    if (number := whole_number(name)) is not None:
        return number
    return name.lower() if name.lower() in ("true", "false") else name


def names_of(value: Any, problem_type: ProblemType) -> list[str]:
    """Return the label names of a row of `read_label_values`. In a text, several labels are separated by '|'."""
    if problem_type == "multi_label_classification":
        if isinstance(value, str):
            return [name for part in value.split("|") if (name := label_name(part))]
        return [label_name(name) for name in value] if isinstance(value, (list, tuple)) else []
    return [label_name(value)]


def distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return one name per label, sorted, whole numbers by their value. Several spellings of a label become 1 or True."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in set(names):
        spellings[label_key(name)].add(name)
    chosen = [
        next(iter(variants)) if len(variants) == 1 else key if whole_number(key) else key.capitalize()
        for key, variants in spellings.items()
    ]
    are_integers = all(whole_number(name) == name for name in chosen)
    return tuple(sorted(chosen, key=lambda name: (int(name), name)) if are_integers else sorted(chosen))


def case_note(names: Iterable[str]) -> str | None:
    """Return a note on labels that differ only in case, character width or inner white space; None without such labels."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in set(names):
        groups[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].add(name)
    pairs = [" and ".join(map(repr, sorted(group))) for group in groups.values() if len({*map(label_key, group)}) > 1]
    if not pairs:
        return None
    return (
        f"labels that differ only in case, width or spaces stay apart: {one_of(sorted(pairs), limit=5)}. Write them in one "
        "way if they mean the same"
    )


def check_lengths(labels: Iterable[str]) -> None:
    """Raise DataError for a label that is a text. Each label is repeated many times in the report and in config.json."""
    for label in labels:
        if len(label) > _LONGEST_LABEL:
            raise DataError(
                f"the label {label[:40]!r}... has {len(label):,} characters; at most {_LONGEST_LABEL:,} are allowed. Check "
                "which column has the labels (data.columns)"
            )


def check_labels(labels: tuple[str, ...], n_rows: int, problem_type: ProblemType, *, is_chosen: bool) -> None:
    """Raise DataError for labels that no classifier can be trained on. `is_chosen` says that something defines the labels."""
    check_lengths(labels)
    if not labels:
        raise DataError(
            "the training rows have no labels; problem_type=multi_label_classification requires lists of labels"
        )
    if len(labels) < 2 and problem_type == "single_label_classification":
        raise DataError(f"the training rows have only one label ({one_of(labels)}); a classifier requires at least two")
    if len({*map(label_key, labels)}) < len(labels):
        raise DataError(f"task.labels contains a label twice: {one_of(labels)}")
    if not is_chosen and len(labels) > max(20, n_rows // 2):
        raise DataError(
            f"{n_rows} training rows have {len(labels)} different labels (such as {labels[0]!r}, {labels[-1]!r}). Check "
            "data.columns.label; for numbers set task.problem_type=regression, for lists of labels "
            "task.problem_type=multi_label_classification. If there are few rows per label, list the labels: "
            f"task.labels=[{one_of(labels, limit=40)}]"
        )


def index_of(name: str, labels: tuple[str, ...], order: str | None, where: str) -> int:
    """Return the index of a label, given by its name or by its position.

    `order` names what defines the order of `labels`; without it a position is refused. Raises DataError, with `where`, for an
    unknown label.
    """
    positions = _positions(labels)
    if (index := positions.get(name, positions.get(label_key(name)))) is not None:
        return index
    number = whole_number(name)
    if number is not None and not number.startswith("-") and not any(whole_number(label) for label in labels):
        if order is not None and int(number) < len(labels):
            return int(number)
        if order is None:
            raise DataError(
                f"{where}: label {name!r} is a number, but the labels are the names {one_of(labels)}, and nothing says which "
                "number means which name. Write the names in this file, or train with task.labels=[...] in the order of the "
                "numbers"
            )
    raise DataError(
        f"{where}: unknown label {name!r}; known: {one_of(labels)}.{_hint(name, number, labels)} Correct the row, or add the "
        "label to the training rows (and to task.labels, if that is set)"
    )


def _hint(name: str, number: str | None, labels: Sequence[str]) -> str:
    if number == "-1":
        return " -1 marks rows without a label in some data sets; leave such labels empty."
    same = [label for label in labels if label.casefold() == name.casefold()]
    return f" It differs from '{same[0]}' only in case." if same else did_you_mean(name, labels)


@lru_cache(maxsize=64)
def _positions(labels: tuple[str, ...]) -> dict[str, int]:
    by_key = {label_key(label_name(label)): index for index, label in reversed(list(enumerate(labels)))}
    return {**by_key, **{label: index for index, label in enumerate(labels)}}


def target_of(
    value: Any, problem_type: ProblemType, labels: tuple[str, ...], where: str, *, order: str | None = None
) -> Any:
    """Return the training target of a row: an index, a 0/1 list, or a number. Raises DataError, with `where`.

    `order` names what defines the order of the labels; see `index_of`.
    """
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
            raise DataError(
                f"{where}: label {value!r} is not a list of labels (in text files: names separated by data.label_separator)"
            )
        chosen = {index_of(name, labels, order, where) for name in names_of(value, problem_type)}
        return [int(index in chosen) for index in range(len(labels))]
    if isinstance(value, (list, tuple)):
        raise DataError(f"{where}: label {value!r} is a list; set task.problem_type=multi_label_classification")
    if isinstance(value, dict):
        raise DataError(f"{where}: label {value!r} is an object; it must be text or a number")
    return index_of(label_name(value), labels, order, where)
