"""Rows from Python objects: a pandas DataFrame, a `datasets.Dataset`, or a list of dicts.

This module never imports pandas or datasets: an object of theirs exists only after the user has imported them.
"""

import datetime
import decimal
import math
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

from ft_toolkit.core.characters import has_lone_surrogate
from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.hub_datasets import dataset_rows
from ft_toolkit.data.json_values import check_size

SUPPORTED = "a pandas DataFrame, a datasets.Dataset, a list of dicts, or the path of a data file"


def rows_of(data: Any, name: str) -> RawRows:
    """Return the rows of a DataFrame, a Dataset or a list of dicts, with the values as they are.

    The index of a DataFrame is ignored. Class labels of a Dataset become names. Whole numbers in a float column of a
    DataFrame with missing values become ints: pandas turns a column of ints into floats when a value is missing. `name` is
    the name of the argument in errors. Raises UsageError for other objects.
    """
    if is_frame(data):
        return _frame_rows(data, name)
    if is_dataset(data):
        return dataset_rows(data.with_format(None))
    datasets = _loaded("datasets")
    if datasets is not None and isinstance(data, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        raise UsageError(f"{name}: found a {type(data).__name__}; pass one split, e.g. data['{next(iter(data))}']")
    if isinstance(data, (list, tuple)):
        for number, row in enumerate(data, 1):
            if not isinstance(row, Mapping):
                raise UsageError(f"{name}: row {number} is {type_name(row)}; each row must be a dict")
        return [dict(row) for row in data]
    raise UsageError(f"{name}: found {type_name(data)}; allowed: {SUPPORTED}.{_remedy(data)}")


def is_path(data: Any) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether `data` is the path of a file (a str or a path object)."""
    return isinstance(data, (str, os.PathLike))


def is_frame(data: Any) -> bool:
    """Return whether `data` is a pandas DataFrame."""
    pandas = _loaded("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_series(data: Any) -> bool:
    """Return whether `data` is a pandas Series."""
    pandas = _loaded("pandas")
    return pandas is not None and isinstance(data, pandas.Series)


def is_dataset(data: Any) -> bool:
    """Return whether `data` is a `datasets.Dataset`."""
    datasets = _loaded("datasets")
    return datasets is not None and isinstance(data, datasets.Dataset)


def plain_rows(rows: Sequence[Mapping[str, Any]], name: str) -> RawRows:
    """Return rows whose values are None, str, bool, int, float, lists and dicts, so that JSON can hold them.

    Missing values (NaN, NaT, pandas.NA) become None, numpy values Python values, and dates ISO 8601 text. Raises UsageError
    with the row and the column for any other value.
    """
    plain: RawRows = []
    for number, row in enumerate(rows, 1):
        values: dict[str, Any] = {}
        for column, value in row.items():
            if not isinstance(column, str):
                raise UsageError(f"{name}: row {number}: column names must be text; found {column!r}")
            name_of_column = str(plain_value(column, f"{name}: row {number}: a column name"))
            values[name_of_column] = plain_value(value, f"{name}: row {number}: column '{column}'")
        plain.append(values)
    return plain


def plain_value(value: Any, where: str, depth: int = 0) -> Any:
    """Return a value that JSON can hold; see `plain_rows`. `where` names the location in errors. Raises UsageError.

    `depth` counts the lists and dicts around the value.
    """
    if (problem := check_size(value, where, depth)) is not None:
        raise UsageError(problem)
    if isinstance(value, np.generic):
        value = str(value) if isinstance(value, np.datetime64) and not np.isnat(value) else value.item()
    if value is None or _is_missing(value):
        return None
    match value:
        case str() if has_lone_surrogate(value):
            raise UsageError(
                f"{where} has half a character (a lone surrogate such as \\ud83d), which no model can read; remove it with "
                "text.encode('utf-8', 'ignore').decode()"
            )
        case str():
            return str(value)
        case float() if math.isinf(value):
            raise UsageError(f"{where} is infinite; replace it by a finite number or a missing value")
        case bool() | int() | float():
            return value
        case datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal() | uuid.UUID() | os.PathLike():
            return str(value)
        case np.ndarray():
            return plain_value(value.tolist(), where, depth)
        case list() | tuple():
            return [plain_value(item, where, depth + 1) for item in value]
        case Mapping():
            return {
                str(plain_value(str(key), where)): plain_value(item, where, depth + 1) for key, item in value.items()
            }
    raise UsageError(
        f"{where} holds {type_name(value)}; allowed: text, numbers, booleans, lists and dicts. Convert or drop the column"
    )


def _frame_rows(frame: Any, name: str) -> RawRows:
    columns = list(frame.columns)
    if not all(isinstance(column, str) for column in columns):
        raise UsageError(f"{name}: column names must be text; found {columns!r}. Set them with DataFrame.columns")
    if duplicates := sorted({column for column in columns if columns.count(column) > 1}):
        raise UsageError(f"{name}: duplicate column names: {one_of(duplicates)}")
    values = {column: _column_values(frame[column]) for column in columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _column_values(series: Any) -> list[Any]:
    """Return the values of a column; of floats with missing values as ints if all others are whole numbers."""
    values = series.tolist()
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f" and series.isna().any():
        present = [value for value in values if not math.isnan(value)]
        if present and all(value.is_integer() for value in present):
            return [None if math.isnan(value) else int(value) for value in values]
    return list(values)


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    pandas = _loaded("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _loaded(module: str) -> ModuleType | None:
    """Return a module if this process has imported it."""
    return sys.modules.get(module)


def type_name(value: Any) -> str:
    """Return the name of a value's type for an error message, such as "bytes", "None" or "torch.Tensor"."""
    if value is None:
        return "None"
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _remedy(data: Any) -> str:
    """Return advice for objects that are close to a supported one, or an empty string."""
    if isinstance(data, Mapping):
        return " For a dict of columns, pass pandas.DataFrame(data); for one row, pass [data]."
    if type(data).__name__ == "IterableDataset":
        return " Pass datasets.Dataset.from_list(list(data))."
    if hasattr(data, "to_pandas"):
        return " Pass data.to_pandas()."
    if hasattr(data, "__iter__") and not isinstance(data, (str, bytes)):
        return " Pass list(data)."
    return ""
