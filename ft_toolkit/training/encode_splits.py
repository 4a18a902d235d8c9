"""Encode the rows of a run; the features of large splits, and the facts about them, are kept in the cache of this machine."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from ft_toolkit.core import cache
from ft_toolkit.core.augmentation_records import AugmentationFacts
from ft_toolkit.core.errors import DataError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.data.augment.augmented_rows import AugmentedRows, Augmenter, count_changes
from ft_toolkit.data.bad_rows import refuse_rows
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.faults.find_faults import searches_encodings
from ft_toolkit.data.row_cache import code_version
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_features import encode_in_parts, read_features, store_features
from ft_toolkit.data.stored_rows import StoredRows
from ft_toolkit.tasks.base import DefinedLabels, Features, Pretrained, Row, Rows, Task, TaskSettings

# Splits with fewer rows are encoded each time: 10,000 rows of 40 tokens take 1 s and 30 MB.
MIN_ROWS = 10_000
# Entries of `init_kwargs` on the place of the tokenizer, which do not change its tokens.
_LOCATIONS = {"name_or_path", "is_local", "local_files_only", "vocab_file", "merges_file", "tokenizer_file"}
_FEATURES, _VALUES = "features", "values.json"


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
        tokenizer = _tokenizer_key(self.tokenizer)
        return tokenizer and cache.key_of(tokenizer, self.task.name, repr(self.schema), self.max_length)


def _tokenizer_key(tokenizer: Any) -> str | None:
    """Return a key of the tokenizer and of the code that uses it; None for a tokenizer that cannot be written as text."""
    if not tokenizer.is_fast:
        return None
    versions = [code_version(), transformers.__version__, tokenizers.__version__]
    settings = {name: str(value) for name, value in tokenizer.init_kwargs.items() if name not in _LOCATIONS}
    settings["chat_template"] = str(tokenizer.chat_template)
    return cache.key_of(versions, type(tokenizer).__name__, tokenizer.backend_tokenizer.to_str(), settings)


def kept_schema(rows: Rows, settings: Any, task: Task, labels: DefinedLabels | None, pretrained: Pretrained) -> Any:
    """Return `task.find_schema`, from the cache if the rows are stored and everything is the same as at another start."""
    tokenizer = _tokenizer_key(pretrained.tokenizer)
    if not isinstance(rows, StoredRows) or rows.fingerprint is None or tokenizer is None:
        return task.find_schema(settings, rows, labels, pretrained)
    facts = [settings.model_dump(mode="json"), repr(labels), pretrained.kind, pretrained.config.to_json_string()]
    key = cache.key_of(tokenizer, rows.fingerprint, task.name, facts)
    return task.load_schema(_kept("schema", key, lambda: asdict(task.find_schema(settings, rows, labels, pretrained))))


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


def kept_facts(
    data: LoadedData, encoder: Encoder, settings: TaskSettings, find: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the result of `find`, from the cache if all rows, notes and settings are the same as at another start."""
    if encoder.key is None or data.groups or max(map(len, data.splits.values())) < MIN_ROWS:
        return find()
    facts = [settings.model_dump(mode="json"), data.held_out, data.notes, searches_encodings()]
    return _kept("facts", cache.key_of(encoder.key, data.split_fingerprints, facts), find)


def _kept(kind: str, key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of `find`, which JSON can hold, from the cache if it is there."""
    kept: dict[str, Any] | None = cache.read(
        kind, key, lambda folder: json.loads((folder / _VALUES).read_text(encoding="utf-8"))
    )
    if kept is not None:
        return kept
    values = find()
    cache.add(kind, key, lambda folder: (folder / _VALUES).write_text(json.dumps(values), encoding="utf-8"))
    return values


def encode_copies(
    data: LoadedData, encoder: Encoder, augmenter: Augmenter, report: Report = no_report
) -> tuple[AugmentationFacts, Features]:
    """Return the facts about the changed copies of the training rows, and the features of the rows with their copies.

    A feature of a copy has the number of the original row.
    """
    originals, fingerprint = data.splits["train"], data.split_fingerprints["train"]
    rows = AugmentedRows(originals, augmenter)
    if len(rows) >= MIN_ROWS and encoder.key is not None:
        key = cache.key_of(code_version(), encoder.task.name, fingerprint, augmenter.key)
        kept = _kept("copies", key, lambda: count_changes(originals, augmenter).as_json())
        facts = AugmentationFacts.model_validate(kept)
        stored = _stored(rows, "train with copies", facts.fingerprint + fingerprint, encoder, report)
        features = encoder.encode(list(rows)) if stored is None else stored
    else:
        augmented: list[Row] = []
        facts = count_changes(originals, augmenter, augmented)
        features = encoder.encode(augmented)
    return facts, replace(features, example_ids=[number // rows.per_row for number in features.example_ids])


def _stored_features(data: LoadedData, split: SplitName, encoder: Encoder, report: Report) -> Features | None:
    """Return the features of a split in the cache; None if they cannot be stored there. Raises DataError."""
    return _stored(data.splits[split], split, data.split_fingerprints[split], encoder, report)


def _stored(rows: Rows, name: str, fingerprint: str, encoder: Encoder, report: Report) -> Features | None:
    """Return the features of rows with a fingerprint in the cache; None if they cannot be stored there. Raises DataError."""
    encoder.encode(rows[:1])  # a task may change the tokenizer, which is saved with the model
    if encoder.key is None:
        return None
    key = cache.key_of(encoder.key, fingerprint)

    def write(folder: Path) -> None:
        if encoder.task.joins_rows(encoder.schema):
            store_features(encoder.encode(rows), _files(folder))
        else:
            step = f"tokenizing {name}"
            encode_in_parts(rows, encoder.encode, _files(folder), lambda done, total: report(step, done, total))

    def read() -> Features | None:
        return cache.read(_FEATURES, key, lambda folder: read_features(_files(folder)))

    kept = read()
    if kept is not None:
        return kept
    try:
        return read() if cache.add(_FEATURES, key, write) is not None else None
    except ValueError:  # features with values such as arrays
        return None


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "features.arrow", folder / "rows.arrow"
