"""`load_data`: the rows of every split, with the task's columns, checked against the card and fingerprinted."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.cards import Card, SplitName, TaskFacts, load_card
from ft_toolkit.data.formats.files import READERS, RawRows, check_file, read_file, read_hub
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import Row, Rows, Task, TaskSettings, is_labelled

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class LoadedData:
    """The rows of a run.

    `splits` holds train, validation and, where there is one, test. Each row has the task's columns and `id`, the row's
    own id where these are all different, else its number. `origin` says per split where the rows came from, `commit`
    which Hub commit, `notes` what was left out or changed, and `card` is the data card, if the recipe names one. `kept`
    names columns that the rows have besides, for scores by their values; they are not part of a fingerprint.
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
        rows = {
            name: [{key: value for key, value in row.items() if key not in self.kept} for row in self.splits[name]]
            for name in SPLITS
            if name in self.splits
        }
        return {name: fingerprint(some) for name, some in rows.items()}

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of all rows of all splits."""
        text = "\n".join(f"{name} {found}" for name, found in self.split_fingerprints.items())
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Naming:
    """What the columns of a file may be called, by the task's names for them.

    `asked`: what the user says, and must be there. `usual`: what a model's training rows called them by its recipe, taken
    where it is there. `others`: the names of the data card that the model was trained with.
    """

    asked: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


def fingerprint(rows: Rows) -> str:
    """Return a sha256 of rows, in order, with every column."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_row_bytes(row))
    return digest.hexdigest()


def check_sources(section: DataSection, task: Task) -> None:
    """Raise DataError when the card or a local file is not there or not of a known type; reads no rows."""
    if section.card is not None:
        card = load_card(section.card)
        if section.train is None:
            card.for_task(task.name)
    for path in _local_files(section).values():
        check_file(Path(path))


def load_data(
    section: DataSection, task: Task, settings: TaskSettings | None = None, keep: Sequence[str] = ()
) -> LoadedData:
    """Read, map and check the rows a recipe asks for; `settings` is the recipe's `task:` section.

    `keep` names further columns of the files that the rows shall have under their own names.

    Raises DataError when a file, column, label or split is missing, or the rows are not those of the card.
    """
    card = load_card(section.card) if section.card else None
    notes: list[str] = []
    if section.train is not None:
        raw, origin, commit = _read_local(section), {str(k): v for k, v in _local_files(section).items()}, None
    else:
        assert card is not None  # DataSection holds that one of the two is there
        card.for_task(task.name)
        raw, origin, commit = _read_card(card)
        _check_against_card(card, raw)
    known = card.block.tasks.get(task.name) if card else None
    kept = tuple(dict.fromkeys(name for name in keep if name not in task.columns))
    splits: dict[SplitName, Rows] = {}
    for name, rows in raw.items():
        mapped = _map_columns(rows, origin[name], task, section.columns, _other_names(task, settings, known), kept)
        if labelled := _labelled(mapped, task, name, notes):
            splits[name], remarks = task.read_rows(labelled, settings, origin[name])
            notes += [f"{name}: {remark}" for remark in remarks]
    if "train" not in splits:
        answers = [column for column, facts in task.columns.items() if facts.is_answer]
        found = one_of(dict.fromkeys(name for row in raw.get("train", []) for name in row))
        raise DataError(
            f"{origin.get('train', 'train')}: no labelled rows to train on; {task.name} learns from {' or '.join(answers)}; "
            f"columns found: {found}. Say which with data.columns.{answers[0] if answers else 'COLUMN'}=NAME"
        )
    if "validation" not in splits:
        splits = _hold_out(splits, section.validation_fraction, notes)
        origin["validation"] = f"held out of {origin['train']}"
    elif section.validation_fraction is not None:
        raise DataError("data.validation_fraction is set, but there are validation rows already; remove it (null)")
    return LoadedData({name: splits[name] for name in SPLITS if name in splits}, origin, commit, card, notes, kept)


def load_split(
    source: str, split: SplitName, task: Task, settings: TaskSettings, naming: Naming, keep: Sequence[str] = ()
) -> LoadedData:
    """Read the labelled rows of a file, or of one split of a data card, as a run reads them; they are called `split`.

    The same file under the same names gives the same fingerprint as in a run. Raises DataError.
    """
    card, commit = None if is_file_name(source) else load_card(source), None
    if card is None:
        check_file(Path(source))
        rows, origin = read_file(Path(source)), source
    else:
        naming = replace(naming, others=card.for_task(task.name).columns)
        check_split(card, split)
        found, origins, commit = _read_card(card, only=split)
        _check_against_card(card, found)
        rows, origin = found[split], origins[split]
    present = {name for row in rows for name in row}
    used = {column: name for column, name in naming.usual.items() if name in present and column in task.columns}
    others = {**_other_names(task, settings, None), **naming.others}
    kept = tuple(name for name in keep if name not in task.columns)
    mapped = _map_columns(rows, origin, task, {**used, **naming.asked}, others, kept, "--column ")
    notes: list[str] = []
    labelled = _labelled(mapped, task, split, notes)
    if not labelled:
        answers = [column for column, facts in task.columns.items() if facts.is_answer]
        raise DataError(
            f"{origin}: no row has an answer ({' or '.join(answers)}), so there is nothing to score; columns found: "
            f"{one_of(sorted(present))}. Say which with --column {answers[0]}=NAME"
        )
    read, remarks = task.read_rows(labelled, settings, origin)
    notes += [f"{split}: {remark}" for remark in remarks]
    return LoadedData({split: read}, {split: origin}, commit, card, notes, kept)


def is_file_name(source: str) -> bool:
    """Say whether rows are to come from a file rather than from the data card of that name."""
    return Path(source).is_file() or Path(source).suffix.lower() in READERS


def check_split(card: Card, split: SplitName) -> None:
    """Raise DataError where a card has no such split, or hides its answers."""
    labelled = [name for name, facts in card.block.splits.items() if facts.labelled]
    if split not in labelled:
        hidden = "hides the answers of" if split in card.block.splits else "has no split"
        raise DataError(f"data card '{card.name}' {hidden} '{split}'; allowed: --split {' or '.join(labelled)}")


def _labelled(rows: Sequence[Row], task: Task, split: SplitName, notes: list[str]) -> list[Row]:
    """Return the rows that have an answer, and note how many have none."""
    labelled = [row for row in rows if is_labelled(row, task)]
    if len(labelled) < len(rows):
        notes.append(f"{split}: {len(rows) - len(labelled)} of {len(rows)} rows have no label and were left out")
    return labelled


def _local_files(section: DataSection) -> dict[SplitName, str]:
    return {name: path for name in SPLITS if (path := getattr(section, name)) is not None}


def _read_local(section: DataSection) -> dict[SplitName, RawRows]:
    return {name: read_file(Path(path)) for name, path in _local_files(section).items()}


def _read_card(
    card: Card, only: SplitName | None = None
) -> tuple[dict[SplitName, RawRows], dict[str, str], str | None]:
    source, commit = card.block.source, None
    raw: dict[SplitName, RawRows] = {}
    origin: dict[str, str] = {}
    for name, facts in card.block.splits.items():
        if not facts.labelled or only not in (None, name):
            continue
        if source.files is not None:
            raw[name] = read_file(card.folder / source.files[name])
            origin[name] = f"{card.name}/{source.files[name]}"
        else:
            assert source.hub is not None
            # all splits from one commit, even when the branch moves meanwhile
            found = read_hub(source.hub, source.config, commit or source.revision, facts.name or name)
            raw[name], commit = found.rows, found.commit
            origin[name] = f"{source.hub} ({facts.name or name})"
    return raw, origin, commit


def _check_against_card(card: Card, raw: Mapping[SplitName, RawRows]) -> None:
    for name, rows in raw.items():
        facts = card.block.splits[name]
        if len(rows) != facts.rows:
            raise DataError(f"data card '{card.name}': {name} has {len(rows)} rows; the card says {facts.rows}")
        if facts.fingerprint is not None and (found := fingerprint(rows)) != facts.fingerprint:
            raise DataError(
                f"data card '{card.name}': the rows of {name} are not those of the card "
                f"(fingerprint {found[:12]}..., card {facts.fingerprint[:12]}...)"
            )


def _other_names(task: Task, settings: TaskSettings | None, known: TaskFacts | None) -> dict[str, str]:
    """Return names that a column may have besides its own: the card's, else what a setting of the task says."""
    by_setting = {
        name: value
        for name, column in task.columns.items()
        if column.named_by and (value := getattr(settings, column.named_by, None)) is not None
    }
    return {**by_setting, **(known.columns if known else {})}


def _map_columns(
    rows: RawRows,
    where: str,
    task: Task,
    wanted: Mapping[str, str],
    others: Mapping[str, str],
    kept: Sequence[str],
    remedy: str = "data.columns.",
) -> list[Row]:
    """Return rows with the task's column names: as the recipe says, else of the same name, else one of the others.

    Columns in `kept` stay as they are. Raises DataError for a column that is not there.
    """
    found = list(dict.fromkeys(name for row in rows for name in row))
    source: dict[str, str] = {}
    for column, facts in task.columns.items():
        candidates = [wanted[column]] if column in wanted else [column, *([others[column]] if column in others else [])]
        if (present := next((c for c in candidates if c in found), None)) is not None:
            source[column] = present
        elif facts.required or column in wanted:
            raise DataError(
                f"{where}: no column '{candidates[-1]}' for {task.name}'s '{column}' ({facts.meaning}); columns found: "
                f"{one_of(found)}.{did_you_mean(candidates[-1], found)} Say which with {remedy}{column}=NAME"
            )
    for name in kept:
        if name not in found:
            raise DataError(
                f"{where}: no column '{name}', by whose values scores are to be shown; columns found: {one_of(found)}."
                f"{did_you_mean(name, found)}"
            )
        source[name] = name
    ids = [str(row.get("id", number)) for number, row in enumerate(rows, 1)]
    if len(set(ids)) < len(rows):  # a column that does not tell rows apart
        ids = [str(number) for number in range(1, len(rows) + 1)]
    mapped: list[Row] = []
    for number, row in enumerate(rows):
        mapped.append({"id": ids[number], **{column: row.get(name) for column, name in source.items()}})
    return mapped


def _hold_out(splits: dict[SplitName, Rows], fraction: float | None, notes: list[str]) -> dict[SplitName, Rows]:
    """Move training rows to validation by a hash of their content, so that equal rows stay on one side."""
    if fraction is None:
        raise DataError(
            "no validation rows, which pick the best checkpoint; set data.validation=FILE, or data.validation_fraction=0.1 "
            "to hold out a share of the training rows"
        )
    train: list[Row] = []
    held_out: list[Row] = []
    for row in splits["train"]:
        (held_out if position_of(row) < fraction else train).append(row)
    if not train or not held_out:
        raise DataError(
            f"data.validation_fraction={fraction} leaves {len(train)} training and {len(held_out)} validation rows"
        )
    notes.append(
        f"validation: {len(held_out)} of {len(train) + len(held_out)} training rows held out, by a hash of their content"
    )
    return {**splits, "train": train, "validation": held_out}


def position_of(row: Row, leave_out: Sequence[str] = ("id",)) -> float:
    """Return a number from 0 to 1 that depends on a row's content alone, without the columns left out."""
    content = {key: value for key, value in row.items() if key not in leave_out}
    return int.from_bytes(hashlib.sha256(_row_bytes(content)).digest()[:8], "big") / 2**64


def _row_bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n"
