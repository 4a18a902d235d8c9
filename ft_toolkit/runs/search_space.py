"""The settings that `ftk sweep` varies: `training.learning_rate=1e-5..1e-3` (a range), `method.r=4,8,16` (a list)."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.yaml12 import YamlError, dump_yaml, parse_value

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
# A positive range over at least this factor is searched on a logarithmic scale.
LOG_FACTOR = 10


@dataclass(frozen=True)
class Range:
    """A range of numbers for a setting, with both ends. `integer` is a range of whole numbers."""

    key: str
    low: float
    high: float
    integer: bool

    @property
    def log(self) -> bool:
        """Whether the range is searched on a logarithmic scale."""
        return self.low > 0 and self.high >= LOG_FACTOR * self.low

    @property
    def examples(self) -> list[Any]:
        """The ends, to check whether the recipe allows them."""
        return [self.low, self.high]

    def describe(self) -> str:
        """Return a phrase for the console."""
        noun = "whole numbers" if self.integer else "numbers"
        return f"{noun} from {self.low:g} to {self.high:g}, {'logarithmic' if self.log else 'linear'} scale"

    def suggest(self, trial: Any) -> Any:
        """Return the value that an Optuna trial chooses."""
        if self.integer:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def contains(self, value: Any) -> bool:
        """Return whether a value of a recipe is in the range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high and (not self.integer or value == int(value))


@dataclass(frozen=True)
class Choices:
    """A list of values for a setting."""

    key: str
    values: tuple[Any, ...]

    @property
    def examples(self) -> list[Any]:
        """All values, to check whether the recipe allows them."""
        return list(self.values)

    def describe(self) -> str:
        """Return a phrase for the console."""
        return f"one of {', '.join(map(as_text, self.values))}"

    def suggest(self, trial: Any) -> Any:
        """Return the value that an Optuna trial chooses."""
        return trial.suggest_categorical(self.key, self.values)

    def contains(self, value: Any) -> bool:
        """Return whether a value of a recipe is in the list."""
        return any(value == each and type(value) is type(each) for each in self.values)


Dimension = Range | Choices


def all_combinations(space: Sequence[Dimension], limit: int) -> list[dict[str, Any]] | None:
    """Return every combination of values, if all settings have lists and there are at most `limit` combinations."""
    lists = [dimension.values for dimension in space if isinstance(dimension, Choices)]
    if len(lists) < len(space) or math.prod(map(len, lists)) > limit:
        return None
    keys = [dimension.key for dimension in space]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]


def as_text(value: Any) -> str:
    """Return a value in the form of a setting on the command line."""
    return dump_yaml(value).removesuffix("\n").removesuffix("\n...").strip() if not isinstance(value, str) else value


def split_words(words: Sequence[str]) -> tuple[list[Dimension], list[str]]:
    """Return the settings to vary, and the words that set a single value.

    Raises UsageError for a range or a list that cannot be searched, a key that is named twice, and no range or list at all.
    """
    dimensions: list[Dimension] = []
    others: list[str] = []
    for word in words:
        dimension = _read(word)
        if dimension is None:
            others.append(word)
        else:
            dimensions.append(dimension)
    if not dimensions:
        raise UsageError(
            "no setting to vary; name a range or a list, such as training.learning_rate=1e-5..1e-3 or method.r=4,8,16"
        )
    keys = [dimension.key for dimension in dimensions]
    keys += [word.partition("=")[0] for word in others]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise UsageError(f"{repeated[0]}: set twice; name each setting once")
    return dimensions, others


def _read(word: str) -> Dimension | None:
    """Return the range or the list in a word, None for a word that sets a single value. Raises UsageError."""
    key, _, text = word.partition("=")
    match = _RANGE.fullmatch(text.strip())
    if match is not None:
        return _read_range(key, match[1], match[2], word)
    if ".." in text and not re.search(r"[/\\a-df-zA-DF-Z]", text):  # 1e-5..abc is a mistake, ../rows.csv is a path
        raise UsageError(f"{word}: a range has two numbers, such as 1e-5..1e-3")
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2 or not all(parts) or text.strip()[0] in "[{\"'":
        return None
    return _read_list(key, parts, word)


def _read_range(key: str, low: str, high: str, word: str) -> Range:
    integer = all(re.fullmatch(r"[-+]?\d+", end) for end in (low, high))
    if float(low) >= float(high):
        raise UsageError(f"{word}: a range begins with its lower end: {key}={high}..{low}")
    return Range(key, float(low), float(high), integer)


def _read_list(key: str, parts: Sequence[str], word: str) -> Choices:
    values = []
    for part in parts:
        try:
            value = parse_value(part)
        except YamlError as error:
            raise UsageError(f"{word}: {part} is not a YAML value: {error.problem}") from None
        if isinstance(value, (list, dict)):
            raise UsageError(f"{word}: a value of a list must be a number, a text, true, false or null; found {part}")
        values.append(value)
    if len({(type(value), value) for value in values}) < len(values):
        raise UsageError(f"{word}: a value is named twice")
    return Choices(key, tuple(values))
