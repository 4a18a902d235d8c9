"""`load_data` and `load_split`: read the rows of every split, map the columns and check them against the data card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import DataError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.data.bad_rows import BadRow
from ft_toolkit.data.cards import SplitName, load_card
from ft_toolkit.data.columns import FileColumns, TrainedColumns, column_names
from ft_toolkit.data.folds import Fold, divide_rows, read_fold
from ft_toolkit.data.groups import DEFAULT_GROUP, GroupColumn, Groups
from ft_toolkit.data.label_order import check_answers, defined_labels, rows_with_labels
from ft_toolkit.data.local_files import FileRows, check_file, check_path, is_file_name, notes_of_splits, read_table
from ft_toolkit.data.patch import apply_patch, read_patch
from ft_toolkit.data.read_split import SplitReader, no_labels
from ft_toolkit.data.row_cache import keep_rows, read_rows, rows_key
from ft_toolkit.data.seen_rows import input_hash
from ft_toolkit.data.selection import SELECTION, HeldOut, Selector, held_out_rows, hold_out
from ft_toolkit.data.source_rows import RawSplit, SourceRows, check_split, local_files, read_card, read_source
from ft_toolkit.data.splits import SPLITS, LoadedData
from ft_toolkit.data.stored_rows import select_rows
from ft_toolkit.data.times import Times, hold_out_newest
from ft_toolkit.data.training_stream import TrainingStream
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import DefinedLabels, Rows, Task, TaskSettings


@dataclass(frozen=True)
class SplitColumns:
    """How the columns of rows to score are found and read.

    explicit          columns of the task -> columns of the file
    trained           column names of the run that trained the model
    labels            labels of the model, if something defined their order
    label_separator   text between the labels of a cell
    keep              extra columns that the rows keep under their own names
    group             the column that says which rows belong together
    reading           how to read the file
    """

    explicit: Mapping[str, FileColumns]
    trained: TrainedColumns
    labels: DefinedLabels | None = None
    label_separator: str = "|"
    keep: Sequence[str] = ()
    group: GroupColumn = DEFAULT_GROUP
    reading: Reading | None = None


def check_sources(section: DataSection, task: Task) -> None:
    """Raise DataError when the data card or a local file is missing or of an unknown type; reads no rows."""
    if section.card is not None:
        card = load_card(section.card)
        if not section.has_local_files:
            card.for_task(task.name)
    for path in local_files(section).values():
        if section.stream_rows is None:
            check_file(Path(path), section.reading)
        else:
            check_path(Path(path))
    if section.patch is not None:
        read_patch(Path(section.patch))


def load_data(
    section: DataSection,
    task: Task,
    settings: TaskSettings | None = None,
    keep: Sequence[str] = (),
    selection: int = SELECTION,
    *,
    tables: Mapping[str, FileRows] | None = None,
    report: Report = no_report,
) -> LoadedData:
    """Read, map and check the rows of a recipe. `settings` is the recipe's `task` section.

    `keep` names extra columns of the files that the rows keep under their own names. `selection` is the version of the rules
    that hold rows out. `tables` are files that have been read before, by path. `report` shows the progress for long files. Rows
    of large files are in the cache of this machine (`row_cache`). Raises DataError when a file, column, label or split is
    missing, or when the rows differ from the data card.
    """
    key = rows_key(section, task, settings, keep, selection) if tables is None else None
    if key is None:
        return _load_data(section, task, settings, keep, selection, tables, report)
    return read_rows(key) or keep_rows(key, _load_data(section, task, settings, keep, selection, tables, report))


def _load_data(
    section: DataSection,
    task: Task,
    settings: TaskSettings | None,
    keep: Sequence[str],
    selection: int,
    tables: Mapping[str, FileRows] | None,
    report: Report,
) -> LoadedData:
    """Read the rows of a recipe; see `load_data`."""
    source = read_source(section, task, tables, report)
    card, notes = source.card, list(source.notes)
    names = column_names(
        task, settings, section.columns, TrainedColumns(card=card.columns_of(task.name) if card else {})
    )
    labels = defined_labels(section, card, task, names, source.train_file)
    kept = _kept_columns(keep, task)
    reader = SplitReader(
        task, settings, names, kept, labels, section.label_separator, section.reading, section.on_bad_rows
    )
    read = _read_splits(section, source, reader)
    splits, groups = read.rows, read.groups
    notes += read.notes
    origin = {str(name): raw.origin for name, raw in source.splits.items()}
    selector = Selector(task, settings, groups.get("train"), kept, selection)
    held_out = _hold_out(section, splits, groups, origin, selector, read.times, notes)
    patch = None
    if section.patch is not None:
        assert settings is not None, "a recipe has task settings"
        patched = apply_patch(Path(section.patch), splits, held_out, task, settings)
        splits, patch = patched.splits, patched.facts
        notes += patched.notes
    label_rows = rows_with_labels(splits, held_out, task, settings, notes)
    stream = _training_stream(section, source, reader, splits)
    if stream is not None:
        notes.append(
            f"train: the rows are read as a stream, {stream.size:,} at a time (data.stream_rows); counts and checks are about "
            "the first of them"
        )
    return LoadedData(
        {name: splits[name] for name in SPLITS if name in splits},
        origin,
        source.commit,
        card,
        notes,
        kept,
        groups,
        label_rows,
        read.skipped,
        labels,
        held_out=tuple(held_out),
        patch=patch,
        stream=stream,
    )


@dataclass
class _ReadSplits:
    """The labelled rows and the groups of each split, the dates of the training rows, notes, and rows that were left out."""

    rows: dict[SplitName, Rows] = field(default_factory=dict)
    groups: dict[SplitName, Groups] = field(default_factory=dict)
    times: Times | None = None
    notes: list[str] = field(default_factory=list)
    skipped: list[BadRow] = field(default_factory=list)


def _read_splits(section: DataSection, source: SourceRows, reader: SplitReader) -> _ReadSplits:
    """Read every split of a source. Raises DataError, also if no training row has a label."""
    read = _ReadSplits()
    for name, raw in source.splits.items():
        if source.train_file is not None and "train" in read.rows:
            check_answers(raw.rows, name, raw.origin, reader.task, reader.names)
        time = section.time if name == "train" else None
        split = reader.read(raw, GroupColumn(section.group, is_required=name == "train"), time)
        read.notes += split.notes
        read.skipped += split.skipped
        if split.rows is not None:
            read.rows[name] = split.rows
            read.times = split.times or read.times
            if split.groups is not None:
                read.groups[name] = split.groups
    if "train" not in read.rows:
        raise no_labels(source.splits.get("train", RawSplit("train", [], "train")), reader.task, "to train on")
    return read


def _training_stream(
    section: DataSection, source: SourceRows, reader: SplitReader, splits: Mapping[SplitName, Rows]
) -> TrainingStream | None:
    """Return the training rows that are read during training, without rows of other splits; None without data.stream_rows."""
    if source.stream is None or section.stream_rows is None:
        return None
    origin, task = source.splits["train"].origin, reader.task
    others = {input_hash(row, task) for name, rows in splits.items() if name != "train" for row in rows}

    def read(rows: list[dict[str, Any]], first: int) -> Rows:
        where = f"{origin} (rows {first:,} to {first + len(rows) - 1:,})"
        split = reader.read(RawSplit("train", rows, where), DEFAULT_GROUP)
        kept = [row for row in split.rows or () if input_hash(row, task) not in others]
        if not kept:
            raise DataError(
                f"{where}: no rows to train on that are not in another split; set a larger data.stream_rows"
            )
        return kept

    return TrainingStream(source.stream, section.stream_rows, read, len(source.splits["train"].rows))


def _kept_columns(keep: Sequence[str], task: Task) -> tuple[str, ...]:
    """Return the extra columns, each once; rows have the columns of the task anyway."""
    return tuple(dict.fromkeys(name for name in keep if name not in task.columns))


def _hold_out(
    section: DataSection,
    splits: dict[SplitName, Rows],
    groups: dict[SplitName, Groups],
    origin: dict[str, str],
    selector: Selector,
    times: Times | None,
    notes: list[str],
) -> dict[SplitName, str]:
    """Hold rows out by date, fold or hash, as the recipe says; see `_hold_out_splits`."""
    if times is not None:
        return _hold_out_newest(section, splits, groups, origin, times, notes)
    if section.fold is None:
        return _hold_out_splits(section, splits, groups, origin, selector, notes)
    return _hold_out_fold(section, read_fold(section.fold), splits, groups, origin, selector, notes)


def _hold_out_splits(
    section: DataSection,
    splits: dict[SplitName, Rows],
    groups: dict[SplitName, Groups],
    origin: dict[str, str],
    selector: Selector,
    notes: list[str],
) -> dict[SplitName, str]:
    """Move the held-out rows from `train` to separate splits; return the setting for each split. Raises DataError."""
    wanted = _wanted_fractions(section, splits)
    for split, fraction in wanted.items():
        splits["train"], splits[split] = hold_out(splits["train"], fraction, selector, notes, split)
        origin[split] = f"held out of {origin['train']}"
        if "train" in groups:
            groups[split] = groups["train"]
    return {split: f"data.{split}_fraction" for split in wanted}


def _wanted_fractions(section: DataSection, splits: Mapping[SplitName, Rows]) -> dict[HeldOut, float]:
    """Return the fraction of each split to hold out. Raises DataError for a split that exists, and without validation rows."""
    if "validation" not in splits and section.validation_fraction is None:
        raise _no_validation_rows()
    fractions: dict[HeldOut, float | None] = {"validation": section.validation_fraction, "test": section.test_fraction}
    wanted = {split: fraction for split, fraction in fractions.items() if fraction is not None}
    for split in wanted:
        if split in splits:
            raise DataError(f"data.{split}_fraction is set, but there are {split} rows; remove it (set it to null)")
    return wanted


def _hold_out_newest(
    section: DataSection,
    splits: dict[SplitName, Rows],
    groups: dict[SplitName, Groups],
    origin: dict[str, str],
    times: Times,
    notes: list[str],
) -> dict[SplitName, str]:
    """Move the newest training rows to separate splits; see `_hold_out_splits`."""
    wanted = _wanted_fractions(section, splits)
    parts = hold_out_newest(splits["train"], wanted, times, notes)
    splits["train"] = parts["train"]
    for split in wanted:
        splits[split] = parts[split]
        origin[split] = f"held out of {origin['train']}"
        if "train" in groups:
            groups[split] = groups["train"]
    return {split: f"data.{split}_fraction" for split in wanted}


def _hold_out_fold(
    section: DataSection,
    fold: Fold,
    splits: dict[SplitName, Rows],
    groups: dict[SplitName, Groups],
    origin: dict[str, str],
    selector: Selector,
    notes: list[str],
) -> dict[SplitName, str]:
    """Make the rows of a fold the test rows, and hold the validation rows out of the other rows; see `_hold_out_splits`.

    The rows that data.test_fraction holds out in a run without folds are in no fold. Raises DataError.
    """
    candidates = _rows_in_folds(section, splits, selector)
    splits["train"], splits["test"] = divide_rows(candidates, fold, selector)
    origin["test"] = f"fold {fold.number} of {fold.n_folds} of {origin['train']}"
    groups.pop("test", None)
    if "train" in groups:
        groups["test"] = groups["train"]
    notes.append(
        f"test: {len(splits['test'])} of {len(candidates)} training rows, fold {fold.number} of {fold.n_folds}"
    )
    without_test = section.model_copy(update={"test_fraction": None})
    held_out = _hold_out_splits(without_test, splits, groups, origin, selector, notes)
    return {**held_out, "test": "data.fold"}


def _rows_in_folds(section: DataSection, splits: Mapping[SplitName, Rows], selector: Selector) -> Rows:
    """Return the training rows without the test rows that a run without folds holds out. Raises DataError."""
    rows = splits["train"]
    remaining, is_used = np.arange(len(rows)), np.ones(len(rows), bool)
    for split, fraction in _wanted_fractions(section, splits).items():
        held = held_out_rows(select_rows(rows, remaining), fraction, selector, split)
        if split == "test":
            is_used[remaining[held]] = False
        remaining = remaining[~held]
    return select_rows(rows, np.flatnonzero(is_used))


def load_split(
    source: str,
    split: SplitName,
    task: Task,
    settings: TaskSettings,
    columns: SplitColumns,
) -> LoadedData:
    """Read the labelled rows of a file, or of one split of a data card, in the same way as a run; name them `split`.

    The same rows with the same names have the same fingerprint as in a run. Raises DataError.
    """
    trained = columns.trained
    if is_file_name(source):
        file = read_table(Path(source), columns.reading)
        read = SourceRows({split: RawSplit(split, file.rows, source, file.notes)}, notes=notes_of_splits({split: file}))
    else:
        card = load_card(source)
        trained = replace(trained, card=card.for_task(task.name).columns)
        check_split(card, split)
        read = read_card(card, only=split)
    raw, kept = read.splits[split], _kept_columns(columns.keep, task)
    names = column_names(task, settings, columns.explicit, trained)
    reader = SplitReader(task, settings, names, kept, columns.labels, columns.label_separator, columns.reading)
    rows = reader.read(raw, columns.group)
    if rows.rows is None:
        raise no_labels(raw, task, "to score")
    groups = {} if rows.groups is None else {split: rows.groups}
    notes = [*read.notes, *rows.notes]
    return LoadedData(
        {split: rows.rows}, {split: raw.origin}, read.commit, read.card, notes, kept, groups, labels=columns.labels
    )


def _no_validation_rows() -> DataError:
    return DataError(
        "no validation rows, but they select the best checkpoint; set data.validation=FILE, or "
        "data.validation_fraction=0.1 to hold out a tenth of the training rows"
    )
