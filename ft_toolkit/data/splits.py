"""The splits of a run: labelled rows, held-out validation rows and fingerprints."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.cards import Card, SplitName
from ft_toolkit.tasks.base import Row, Rows, Task, is_labelled

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class LoadedData:
    """The rows of a run.

    `splits` holds train, validation and, if there are such rows, test. Each row has the task's columns and `id`: the row's
    own id if all ids differ, else the row number. `origin` is the source of each split, `commit` the Hub commit, `notes`
    list rows that were dropped or changed, and `card` is the data card, if the recipe names one. `kept` names extra
    columns, for scores per value; they are not part of a fingerprint.
    """

    splits: dict[SplitName, Rows]
    origin: dict[str, str]
    commit: str | None
    card: Card | None
    notes: list[str]
    kept: tuple[str, ...] = ()

    @cached_property
    def split_fingerprints(self) -> dict[SplitName, str]:
        """Return a sha256 of the rows of each split; the same rows give the same value on any machine."""
        return {
            name: fingerprint(
                [{key: value for key, value in row.items() if key not in self.kept} for row in self.splits[name]]
            )
            for name in SPLITS
            if name in self.splits
        }

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of all rows of all splits."""
        text = "\n".join(f"{name} {digest}" for name, digest in self.split_fingerprints.items())
        return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(rows: Rows) -> str:
    """Return a sha256 of rows, in order, with every column."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_row_bytes(row))
    return digest.hexdigest()


def labelled_rows(rows: Sequence[Row], task: Task, split: SplitName, notes: list[str]) -> list[Row]:
    """Return the rows that have a label, and append a note with the number of rows without one."""
    labelled = [row for row in rows if is_labelled(row, task)]
    if len(labelled) < len(rows):
        notes.append(f"{split}: {len(rows) - len(labelled)} of {len(rows)} rows have no label and were dropped")
    return labelled


def hold_out(splits: dict[SplitName, Rows], fraction: float | None, notes: list[str]) -> dict[SplitName, Rows]:
    """Move a share of the training rows to validation, and append a note.

    A hash of the content selects the rows, so equal rows go to the same split. Raises DataError.
    """
    if fraction is None:
        raise DataError(
            "no validation rows, but they select the best checkpoint; set data.validation=FILE, or "
            "data.validation_fraction=0.1 to hold out a tenth of the training rows"
        )
    train: list[Row] = []
    held_out: list[Row] = []
    for row in splits["train"]:
        (held_out if content_hash(row) < fraction else train).append(row)
    if not train or not held_out:
        raise DataError(
            f"data.validation_fraction={fraction} leaves {len(train)} training and {len(held_out)} validation rows; "
            "set another fraction, or data.validation=FILE"
        )
    notes.append(
        f"validation: {len(held_out)} of {len(train) + len(held_out)} training rows held out, by a hash of their content"
    )
    return {**splits, "train": train, "validation": held_out}


def content_hash(row: Row, ignore: Sequence[str] = ("id",)) -> float:
    """Return a number from 0 to 1 that depends on the content of a row alone, without the columns in `ignore`."""
    content = {key: value for key, value in row.items() if key not in ignore}
    return int.from_bytes(hashlib.sha256(_row_bytes(content)).digest()[:8], "big") / 2**64


def _row_bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n"
