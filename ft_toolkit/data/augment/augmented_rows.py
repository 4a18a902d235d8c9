"""Augmentation: training rows with changed copies. A copy is a pure function of the row, its id, the number of the copy and the
seed, and of the entities of all training rows, if entities are replaced.

    AugmentedRows(rows, augmenter)  ->  row 1, its copies, row 2, its copies ...
"""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ft_toolkit.core.augmentation_records import AugmentationFacts
from ft_toolkit.data.augment import word_changes
from ft_toolkit.data.augment.perturb import edit_row, typos
from ft_toolkit.data.augment.synonyms import WordList, load_word_list
from ft_toolkit.data.stored_rows import items_at
from ft_toolkit.recipe.sections import AugmentationSection
from ft_toolkit.tasks.base import Augmentation, AugmentKind, Row, Rows, Task, TaskSettings
from ft_toolkit.tasks.text.edits import Edit, touches


@dataclass(frozen=True)
class Augmenter:
    """Makes changed copies of training rows. `entities` has the texts of all entities by type."""

    section: AugmentationSection
    augmentation: Augmentation
    seed: int
    entities: Mapping[str, Sequence[str]]
    word_list: WordList | None

    @cached_property
    def shares(self) -> dict[AugmentKind, float]:
        """The kinds of change of the recipe with their shares, in the order in which they are made."""
        return self.section.shares

    @property
    def key(self) -> list[Any]:
        """Everything that determines the copies, except the rows."""
        words = None if self.word_list is None else self.word_list.version
        return [self.section.model_dump(mode="json", exclude={"word_list"}), self.seed, words]

    def copy(self, row: Row, number: int) -> tuple[Row, list[AugmentKind]]:
        """Return a copy of a row, and the kinds of change that it got. `number` counts the copies of the row from 1."""
        kinds: list[AugmentKind] = []
        for kind, share in self.shares.items():
            rng = random.Random(f"{self.seed} {kind} {number} {row['id']}")
            edits = {
                name: self._edits(kind, row, name, share, rng) if kind in allowed else []
                for name, allowed in self.augmentation.changes.items()
                if isinstance(row.get(name), str)
            }
            changed = edit_row(row, edits, self.augmentation.move_answers)
            if changed is not None:
                row = changed.row
                kinds.append(kind)
        return row, kinds

    def _edits(self, kind: AugmentKind, row: Row, column: str, share: float, rng: random.Random) -> list[Edit]:
        """Return the edits of one kind of change for a column of the row."""
        text = row[column]
        if kind == "replace_entities":
            return [
                (start, end, rng.choice(others))
                for start, end, name in self.augmentation.entities(row, column)
                if rng.random() < share
                and (others := [other for other in self.entities[name] if other != text[start:end]])
            ]
        protected = self.augmentation.protected(row, column)
        if kind == "typos":
            return [edit for edit in typos([text], rng, share)[0] if not touches(*edit[:2], protected)]
        if kind == "synonyms":
            assert self.word_list is not None
            return word_changes.replace_words(text, protected, share, rng, self.word_list.synonyms)
        change = word_changes.delete_words if kind == "delete_words" else word_changes.swap_words
        return change(text, protected, share, rng)


def make_augmenter(
    section: AugmentationSection, task: Task, settings: TaskSettings, rows: Rows, seed: int
) -> Augmenter | None:
    """Return the augmenter of a recipe; None if the recipe has no augmentation. Raises UsageError without a word list."""
    augmentation = task.augmentation(settings)
    if not section.shares or isinstance(augmentation, str):  # the recipe is checked: a refusal has no shares
        return None
    entities: dict[str, dict[str, None]] = {}
    if section.replace_entities:
        for row in rows:
            for column in augmentation.changes:
                for start, end, name in augmentation.entities(row, column):
                    entities.setdefault(name, {})[row[column][start:end]] = None
    word_list = load_word_list(section.word_list) if section.synonyms else None
    return Augmenter(section, augmentation, seed, {name: list(texts) for name, texts in entities.items()}, word_list)


class AugmentedRows(Sequence[Row]):
    """The rows, each followed by its copies. Copies are made when they are read."""

    def __init__(self, rows: Rows, augmenter: Augmenter) -> None:
        """Hold the original rows; nothing is computed yet."""
        self._rows, self._augmenter = rows, augmenter
        self.per_row = 1 + augmenter.section.copies

    def __len__(self) -> int:
        """Return the number of rows and copies."""
        return len(self._rows) * self.per_row

    def __getitem__(self, index: int | slice) -> Any:
        """Return a row or a copy of one; for a slice, a list of them."""
        return items_at(self._row, index, len(self))

    def _row(self, index: int) -> Row:
        number, copy = divmod(index, self.per_row)
        row = self._rows[number]
        return self._augmenter.copy(row, copy)[0] if copy else row

    def __iter__(self) -> Iterator[Row]:
        """Read the rows and copies in order."""
        for row in self._rows:
            yield row
            for copy in range(1, self.per_row):
                yield self._augmenter.copy(row, copy)[0]


def count_changes(rows: Rows, augmenter: Augmenter, augmented: list[Row] | None = None) -> AugmentationFacts:
    """Make all copies, and return how many of them changed. If `augmented` is a list, append the rows and copies in order."""
    copies = augmenter.section.copies
    by_change: dict[str, int] = dict.fromkeys(augmenter.shares, 0)
    n_changed, digest = 0, hashlib.sha256()
    columns = list(augmenter.augmentation.changes)
    for row in rows:
        if augmented is not None:
            augmented.append(row)
        for copy in range(1, copies + 1):
            changed, kinds = augmenter.copy(row, copy)
            if augmented is not None:
                augmented.append(changed)
            n_changed += any(changed.get(name) != row.get(name) for name in columns)
            for kind in kinds:
                by_change[kind] += 1
            digest.update(json.dumps([changed.get(name) for name in columns]).encode())
    return AugmentationFacts(
        copies=copies, rows=copies * len(rows), changed=n_changed, by_change=by_change, fingerprint=digest.hexdigest()
    )
