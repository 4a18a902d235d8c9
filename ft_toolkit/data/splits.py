"""The splits of a run, and fingerprints of their rows."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ft_toolkit.core.patch_records import PatchFacts
from ft_toolkit.data.bad_rows import BadRow
from ft_toolkit.data.cards import Card, SplitName
from ft_toolkit.data.groups import Groups
from ft_toolkit.data.stored_rows import StoredRows
from ft_toolkit.data.training_stream import TrainingStream
from ft_toolkit.metrics.clusters import Clusters, find_clusters
from ft_toolkit.tasks.base import DefinedLabels, Row, Rows

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
# One encoder for all rows: json.dumps would make one per row.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class LoadedData:
    """The rows of a run.

    `splits` holds train, validation and, if there are such rows, test. Each row has the task's columns and `id`: the row's
    own id if all ids differ, else the row number. `origin` is the source of each split, `commit` the Hub commit, `notes`
    list rows that were dropped or changed, and `card` is the data card, if the recipe names one. `kept` names extra
    columns, for scores per value; they are not part of a fingerprint. `groups` has the groups of the splits whose rows are not
    independent. `label_rows` define the label names; None means the training rows. `labels` are the label
    names, if the data defines their order. `skipped` are the rows that cannot be read. `held_out` names the splits that consist
    of rows of the training file. `patch` says which rows `data.patch` changed. `stream` are all training
    rows, if `splits` has only the first ones.
    """

    splits: dict[SplitName, Rows]
    origin: dict[str, str]
    commit: str | None
    card: Card | None
    notes: list[str]
    kept: tuple[str, ...] = ()
    groups: Mapping[SplitName, Groups] = field(default_factory=dict)
    label_rows: Rows | None = None
    skipped: Sequence[BadRow] = ()
    labels: DefinedLabels | None = None
    held_out: Sequence[SplitName] = ()
    patch: PatchFacts | None = None
    stream: TrainingStream | None = None

    @cached_property
    def split_fingerprints(self) -> dict[SplitName, str]:
        """Return a sha256 of the rows of each split; the same rows give the same value on any machine."""
        return {name: self._split_fingerprint(self.splits[name]) for name in SPLITS if name in self.splits}

    def _split_fingerprint(self, rows: Rows) -> str:
        if isinstance(rows, StoredRows) and rows.fingerprint is not None:
            return rows.fingerprint
        return fingerprint({key: value for key, value in row.items() if key not in self.kept} for row in rows)

    def clusters(self, split: SplitName) -> Clusters | None:
        """Return the clusters of the rows of a split, None if the rows are independent."""
        groups = self.groups.get(split)
        return None if groups is None else find_clusters(groups.column, groups.numbers(self.splits[split]))

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of all rows of all splits."""
        text = "\n".join(f"{name} {digest}" for name, digest in self.split_fingerprints.items())
        return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(rows: Iterable[Row]) -> str:
    """Return a sha256 of rows, in order, with every column."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_row_bytes(row))
    return digest.hexdigest()


def content_hash(row: Row, ignore: Sequence[str] = ("id",)) -> float:
    """Return a number from 0 to 1 that depends on the content of a row alone, without the columns in `ignore`."""
    content = {key: value for key, value in row.items() if key not in ignore}
    return int.from_bytes(hashlib.sha256(_row_bytes(content)).digest()[:8], "big") / 2**64


def _row_bytes(row: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(row).encode() + b"\n"
