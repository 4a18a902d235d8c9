"""Encode the rows of a run; the features of large splits, and the facts about them, are kept in the cache of this machine."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from ft_toolkit.core import cache
from ft_toolkit.core.errors import DataError
from ft_toolkit.data.bad_rows import refuse_rows
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.row_cache import code_version
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_features import encode_in_parts, read_features, store_features
from ft_toolkit.tasks.base import Features, Rows, Task

# Splits with fewer rows are encoded each time: 10,000 rows of 40 tokens take 1 s and 30 MB.
MIN_ROWS = 10_000
_FEATURES, _FACTS = "features", "facts"


# Shows the progress of a step: its name, the number of rows that are done, and their total.
Report = Callable[[str, int, int], None]


def no_report(step: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Encoder:
    """Everything that determines the features of rows."""

    task: Task
    tokenizer: Any
    schema: Any
    max_length: int

    def encode(self, rows: Rows) -> Features:
        """Return the features of rows. Raises DataError."""
        return self.task.encode(rows, self.tokenizer, self.schema, self.max_length)

    @cached_property
    def key(self) -> str | None:
        """The cache key of this encoder; None for a tokenizer that cannot be written as text."""
        if not self.tokenizer.is_fast:
            return None
        versions = [transformers.__version__, tokenizers.__version__]
        tokenizer = [
            type(self.tokenizer).__name__,
            self.tokenizer.backend_tokenizer.to_str(),
            {name: str(value) for name, value in self.tokenizer.init_kwargs.items()},
        ]
        return cache.key_of(code_version(), versions, tokenizer, self.task.name, repr(self.schema), self.max_length)


def encode_splits(data: LoadedData, encoder: Encoder, report: Report = no_report) -> dict[SplitName, Features]:
    """Return the features of each split. Raises DataError with all rows that the task refuses."""
    features: dict[SplitName, Features] = {}
    for name, rows in data.splits.items():
        try:
            stored = _stored_features(data, name, encoder, report) if len(rows) >= MIN_ROWS else None
            features[name] = encoder.encode(rows) if stored is None else stored
        except DataError as error:
            raise refuse_rows(rows, encoder.encode, f"{data.origin[name]} ({name})", name, error) from None
    return features


def kept_facts(data: LoadedData, encoder: Encoder, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of `find`, from the cache if all rows, notes and settings are the same as at another start."""
    if encoder.key is None or data.groups or max(map(len, data.splits.values())) < MIN_ROWS:
        return find()
    key = cache.key_of(encoder.key, data.split_fingerprints, data.notes)
    entry = cache.find(_FACTS, key)
    if entry is not None:
        facts: dict[str, Any] = json.loads((entry / "facts.json").read_text(encoding="utf-8"))
        return facts
    facts = find()
    cache.add(_FACTS, key, lambda folder: _write_json(folder / "facts.json", facts))
    return facts


def _stored_features(data: LoadedData, split: SplitName, encoder: Encoder, report: Report) -> Features | None:
    """Return the features of a split in the cache; None if they cannot be stored there. Raises DataError."""
    if encoder.key is None:
        return None
    rows, key = data.splits[split], cache.key_of(encoder.key, data.split_fingerprints[split])

    def write(folder: Path) -> None:
        if encoder.task.joins_rows(encoder.schema):
            store_features(encoder.encode(rows), _files(folder))
        else:
            step = f"tokenizing {split}"
            encode_in_parts(rows, encoder.encode, _files(folder), lambda done, total: report(step, done, total))

    try:
        entry = cache.find(_FEATURES, key) or cache.add(_FEATURES, key, write)
    except ValueError:  # features with values such as arrays
        return None
    return None if entry is None else read_features(_files(entry))


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "features.arrow", folder / "rows.arrow"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
