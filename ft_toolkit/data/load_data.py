"""`load_data` and `load_split`: read the rows of every split, map the columns and check them against the data card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.bad_rows import BadRow, NumberedRows, Read, read_good_rows
from ft_toolkit.data.cards import Card, SplitName, load_card
from ft_toolkit.data.columns import (
    ColumnNames,
    FileColumns,
    TrainedColumns,
    column_names,
    columns_of,
    map_columns,
    set_name,
)
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.groups import DEFAULT_GROUP, GroupColumn, Groups, find_groups
from ft_toolkit.data.hub_datasets import read_hub
from ft_toolkit.data.hub_splits import read_data_set
from ft_toolkit.data.label_names import name_labels
from ft_toolkit.data.label_order import (
    check_answers,
    defined_labels,
    names_of_numbers,
    read_labelled,
    rows_with_labels,
)
from ft_toolkit.data.local_files import FileRows, check_file, is_file_name, notes_of_splits, read_file, read_table
from ft_toolkit.data.selection import SELECTION, HeldOut, Selector, hold_out
from ft_toolkit.data.splits import SPLITS, LoadedData, fingerprint, labelled_rows
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import DefinedLabels, LabelSource, Row, Rows, Task, TaskSettings, is_labelled


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
    for path in _local_files(section).values():
        check_file(Path(path), section.reading)


def load_data(
    section: DataSection,
    task: Task,
    settings: TaskSettings | None = None,
    keep: Sequence[str] = (),
    selection: int = SELECTION,
) -> LoadedData:
    """Read, map and check the rows of a recipe. `settings` is the recipe's `task` section.

    `keep` names extra columns of the files that the rows keep under their own names. `selection` is the version of the rules
    that hold rows out. Raises DataError when a file, column, label or split is missing, or when the rows differ from the data
    card.
    """
    card = load_card(section.card) if section.card else None
    notes: list[str] = []
    commit = None
    origin: dict[str, str]
    files: dict[SplitName, FileRows] = {}
    if section.hub is not None:
        data_set = read_data_set(section)
        card, raw, origin, commit = data_set.card, data_set.rows, data_set.origin, data_set.commit
        notes += data_set.notes
    elif section.train is not None:
        files = {name: read_table(Path(path), section.reading) for name, path in _local_files(section).items()}
        raw = {name: file.rows for name, file in files.items()}
        notes += notes_of_splits(files)
        origin = {str(name): path for name, path in _local_files(section).items()}
    else:
        assert card is not None  # DataSection requires a card or training rows
        card.for_task(task.name)
        raw, origin, commit = _read_card(card)
        _check_against_card(card, raw)
    trained = TrainedColumns(card=card.columns_of(task.name) if card is not None else {})
    names = column_names(task, settings, section.columns, trained)
    kept = tuple(dict.fromkeys(name for name in keep if name not in task.columns))
    labels = defined_labels(section, card, task, names, files.get("train"))
    splits: dict[SplitName, Rows] = {}
    groups: dict[SplitName, Groups] = {}
    skipped: list[BadRow] = []
    for name, rows in raw.items():
        if name in files and "train" in splits:
            check_answers(rows, name, origin[name], task, names)
        mapped = _map_file(rows, origin[name], task, names, kept, files.get(name))
        mapped = name_labels(mapped, section.reading, task, origin[name])
        column = GroupColumn(section.group, is_required=name == "train")
        if (found := find_groups(rows, mapped, task, column, origin[name], notes)) is not None:
            groups[name] = found
        labelled = labelled_rows(mapped, task, name, notes)
        if labelled:
            source = LabelSource(origin[name], labels, section.label_separator, names_of_numbers(section.reading))
            reader = _reader(task, settings, source)
            read = read_good_rows(_numbered(mapped, task, origin[name], name), reader, section.on_bad_rows)
            splits[name] = read.rows
            skipped += read.skipped
            notes += [f"{name}: {note}" for note in read.notes]
    if "train" not in splits:
        raise _no_labels(origin.get("train", "train"), raw.get("train", []), task, "to train on", files.get("train"))
    selector = Selector(task, settings, groups.get("train"), kept, selection)
    held_out = _hold_out_splits(section, splits, groups, origin, selector, notes)
    ordered = {name: splits[name] for name in SPLITS if name in splits}
    label_rows = rows_with_labels(splits, held_out, task, settings, notes)
    return LoadedData(ordered, origin, commit, card, notes, kept, groups, label_rows, skipped, labels)


def _hold_out_splits(
    section: DataSection,
    splits: dict[SplitName, Rows],
    groups: dict[SplitName, Groups],
    origin: dict[str, str],
    selector: Selector,
    notes: list[str],
) -> list[HeldOut]:
    """Move the held-out rows from `train` to splits of their own, and return the names of these. Raises DataError."""
    if "validation" not in splits and section.validation_fraction is None:
        raise _no_validation_rows()
    fractions: dict[HeldOut, float | None] = {"validation": section.validation_fraction, "test": section.test_fraction}
    wanted = {split: fraction for split, fraction in fractions.items() if fraction is not None}
    for split, fraction in wanted.items():
        if split in splits:
            raise DataError(f"data.{split}_fraction is set, but there are {split} rows; remove it (set it to null)")
        splits["train"], splits[split] = hold_out(splits["train"], fraction, selector, notes, split)
        origin[split] = f"held out of {origin['train']}"
        if "train" in groups:
            groups[split] = groups["train"]
    return list(wanted)


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
    card, commit = None if is_file_name(source) else load_card(source), None
    notes: list[str] = []
    if card is None:
        file = read_table(Path(source), columns.reading)
        rows, origin = file.rows, source
        notes += notes_of_splits({split: file})
    else:
        trained = replace(trained, card=card.for_task(task.name).columns)
        check_split(card, split)
        raw, origins, commit = _read_card(card, only=split)
        _check_against_card(card, raw)
        rows, origin = raw[split], origins[split]
    kept = tuple(name for name in columns.keep if name not in task.columns)
    mapped = map_columns(rows, origin, task, column_names(task, settings, columns.explicit, trained), kept)
    mapped = name_labels(mapped, columns.reading, task, origin)
    groups = find_groups(rows, mapped, task, columns.group, origin, notes)
    labelled = labelled_rows(mapped, task, split, notes)
    if not labelled:
        raise _no_labels(origin, rows, task, "to score")
    cells = LabelSource(origin, columns.labels, columns.label_separator, names_of_numbers(columns.reading))
    read = read_good_rows(_numbered(mapped, task, origin, split), _reader(task, settings, cells))
    notes += [f"{split}: {note}" for note in read.notes]
    found = {} if groups is None else {split: groups}
    return LoadedData({split: read.rows}, {split: origin}, commit, card, notes, kept, found, labels=columns.labels)


def _numbered(mapped: Rows, task: Task, origin: str, split: SplitName) -> NumberedRows:
    """Return the labelled rows with their numbers in the file."""
    labelled = [(row, number) for number, row in enumerate(mapped, 1) if is_labelled(row, task)]
    return NumberedRows([row for row, _ in labelled], [number for _, number in labelled], origin, split)


def _reader(task: Task, settings: TaskSettings | None, source: LabelSource) -> Read:
    return lambda rows, where: read_labelled(rows, task, settings, replace(source, where=where))


def check_split(card: Card, split: SplitName) -> None:
    """Raise DataError when a card has no such split or its labels are hidden."""
    labelled = [name for name, facts in card.block.splits.items() if facts.labelled]
    if split not in labelled:
        problem = f"the labels of '{split}' are hidden" if split in card.block.splits else f"no split '{split}'"
        raise DataError(f"data card '{card.name}': {problem}; allowed: --split {' or '.join(labelled)}")


def _no_validation_rows() -> DataError:
    return DataError(
        "no validation rows, but they select the best checkpoint; set data.validation=FILE, or "
        "data.validation_fraction=0.1 to hold out a tenth of the training rows"
    )


def _map_file(
    rows: RawRows, where: str, task: Task, names: ColumnNames, kept: Sequence[str], file: FileRows | None
) -> list[Row]:
    """Return the rows with the task's columns. Raises DataError, with the notes on how the file was read."""
    try:
        return map_columns(rows, where, task, names, kept)
    except DataError as error:
        raise DataError(f"{error}{_how_it_was_read(file)}") from None


def _how_it_was_read(file: FileRows | None) -> str:
    """Return the notes on how a file was read as the end of an error, which may be due to them."""
    return f". Note on the file: {'; '.join(file.notes)}" if file is not None and file.notes else ""


def _no_labels(origin: str, rows: RawRows, task: Task, purpose: str, file: FileRows | None = None) -> DataError:
    """Return the error for rows without any label."""
    answers = [name for name, column in task.columns.items() if column.is_answer]
    remedy = f" {set_name(answers[0])}" if answers else ""
    return DataError(
        f"{origin}: no labelled rows {purpose}; {task.name} needs the column {' or '.join(answers)}; columns found: "
        f"{one_of(columns_of(rows))}.{remedy}{_how_it_was_read(file)}"
    )


def _local_files(section: DataSection) -> dict[SplitName, str]:
    if section.hub is not None:
        return {}
    return {name: path for name in SPLITS if (path := getattr(section, name)) is not None}


def _read_card(
    card: Card, only: SplitName | None = None
) -> tuple[dict[SplitName, RawRows], dict[str, str], str | None]:
    """Return the rows per labelled split (or of one), their origins, and the Hub commit (None for files)."""
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
            assert source.hub is not None  # Source requires files or hub
            # all splits come from one commit, even if the branch changes in between
            hub_rows = read_hub(source.hub, source.config, commit or source.revision, facts.name or name)
            raw[name], commit = hub_rows.rows, hub_rows.commit
            origin[name] = f"{source.hub} ({facts.name or name})"
    return raw, origin, commit


def _check_against_card(card: Card, raw: Mapping[SplitName, RawRows]) -> None:
    """Raise DataError when the number of rows or their fingerprint differs from the card."""
    for name, rows in raw.items():
        facts = card.block.splits[name]
        if len(rows) != facts.rows:
            raise DataError(f"data card '{card.name}': {name} has {len(rows)} rows, but the card says {facts.rows}")
        if facts.fingerprint is not None and (digest := fingerprint(rows)) != facts.fingerprint:
            raise DataError(
                f"data card '{card.name}': the rows of {name} differ from those that the card describes "
                f"(fingerprint {digest[:12]}..., card {facts.fingerprint[:12]}...)"
            )
