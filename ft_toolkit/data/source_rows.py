"""Read the rows of every split of a recipe, as the source has them: local files, a data card, or a data set on the Hub."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.data.cards import Card, SplitName, load_card
from ft_toolkit.data.hub_datasets import read_hub
from ft_toolkit.data.hub_splits import read_data_set
from ft_toolkit.data.local_files import FileRows, notes_of_splits, read_file, read_table
from ft_toolkit.data.splits import SPLITS, fingerprint
from ft_toolkit.data.streamed_rows import StreamedFile, stream_table
from ft_toolkit.data.training_stream import open_files
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import Task


@dataclass(frozen=True)
class RawSplit:
    """The rows of a split as the source has them. `file_notes` say how a file was read."""

    name: SplitName
    rows: Collection[dict[str, Any]]
    origin: str
    file_notes: Sequence[str] = ()


@dataclass(frozen=True)
class SourceRows:
    """The splits of a source, and notes on how they were read.

    `commit` is the commit on the Hub, and `train_file` the file of the training rows, where there is one. `stream` are all
    training rows, if `splits` has only the first ones (data.stream_rows).
    """

    splits: Mapping[SplitName, RawSplit]
    card: Card | None = None
    commit: str | None = None
    train_file: FileRows | StreamedFile | None = None
    notes: list[str] = field(default_factory=list)
    stream: Iterable[dict[str, Any]] | None = None


def read_source(
    section: DataSection,
    task: Task,
    tables: Mapping[str, FileRows] | None = None,
    report: Report = no_report,
) -> SourceRows:
    """Return the rows of every split of a recipe. `tables` are files that have been read before, by path. Raises DataError."""
    card = load_card(section.card) if section.card else None
    in_parts = None if task.answer_form is None else report
    if section.hub is not None:
        data_set = read_data_set(section, in_parts)
        splits = {name: RawSplit(name, rows, data_set.origin[name]) for name, rows in data_set.rows.items()}
        return SourceRows(splits, data_set.card, data_set.commit, notes=data_set.notes, stream=data_set.stream)
    if section.train is not None:
        return _read_local_files(section, card, tables or {}, in_parts)
    assert card is not None  # DataSection requires a card or training rows
    card.for_task(task.name)
    return read_card(card, in_parts=in_parts)


def _read_local_files(
    section: DataSection, card: Card | None, tables: Mapping[str, FileRows], in_parts: Report | None
) -> SourceRows:
    """Return the rows of the local files of a recipe; see `read_source`. None for `in_parts` holds all files in memory."""
    paths, stream = local_files(section), None
    files: dict[SplitName, FileRows | StreamedFile] = {}
    if section.stream_rows is not None:
        stream = open_files(Path(paths.pop("train")), section.reading)
        first = list(islice(stream, section.stream_rows))
        if not first:
            raise DataError(f"{section.train}: the file has no rows")
        files["train"] = FileRows(first, "stream")
    for name, path in paths.items():
        file: FileRows | StreamedFile | None = tables.get(path)
        if file is None and in_parts is not None:
            file = stream_table(Path(path), section.reading, in_parts)
        files[name] = file or read_table(Path(path), section.reading)
    splits = {name: RawSplit(name, file.rows, str(getattr(section, name)), file.notes) for name, file in files.items()}
    return SourceRows(splits, card, train_file=files["train"], notes=notes_of_splits(files), stream=stream)


def local_files(section: DataSection) -> dict[SplitName, str]:
    """Return the path of each split that is a local file."""
    if section.hub is not None:
        return {}
    return {name: path for name in SPLITS if (path := getattr(section, name)) is not None}


def check_split(card: Card, split: SplitName) -> None:
    """Raise DataError when a card has no such split or its labels are hidden."""
    labelled = [name for name, facts in card.block.splits.items() if facts.labelled]
    if split not in labelled:
        problem = f"the labels of '{split}' are hidden" if split in card.block.splits else f"no split '{split}'"
        raise DataError(f"data card '{card.name}': {problem}; allowed: --split {' or '.join(labelled)}")


def read_card(
    card: Card, only: SplitName | None = None, *, is_checked: bool = True, in_parts: Report | None = None
) -> SourceRows:
    """Return the labelled splits of a data card, or one of them. Raises DataError for rows that differ from the card.

    `is_checked` set to False allows other rows. With `in_parts`, which shows the progress, long files are not held in memory.
    """
    source, commit = card.block.source, None
    splits: dict[SplitName, RawSplit] = {}
    for name, facts in card.block.splits.items():
        if not facts.labelled or only not in (None, name):
            continue
        if source.files is not None:
            path = card.folder / source.files[name]
            file = None if in_parts is None else stream_table(path, None, in_parts)
            rows = read_file(path) if file is None else file.rows
            splits[name] = RawSplit(name, rows, f"{card.name}/{source.files[name]}")
        else:
            assert source.hub is not None  # Source requires files or hub
            # all splits come from one commit, even if the branch changes in between
            hub_rows = read_hub(source.hub, source.config, commit or source.revision, facts.name or name, in_parts)
            commit = hub_rows.commit
            splits[name] = RawSplit(name, hub_rows.rows, f"{source.hub} ({facts.name or name})")
    if is_checked and (problems := [text for raw in splits.values() if (text := _difference(card, raw))]):
        raise DataError(f"data card '{card.name}': {problems[0]}")
    return SourceRows(splits, card, commit)


def card_differences(card: Card) -> list[str]:
    """Return a sentence for each labelled split whose rows are not those that the card describes. Raises DataError."""
    source = read_card(card, is_checked=False)
    return [text for raw in source.splits.values() if (text := _difference(card, raw))]


def _difference(card: Card, raw: RawSplit) -> str | None:
    """Return a sentence if the number of rows or their fingerprint differs from the card."""
    name, facts = raw.name, card.block.splits[raw.name]
    if len(raw.rows) != facts.rows:
        return f"{name} has {len(raw.rows)} rows, but the card says {facts.rows}"
    if facts.fingerprint is not None and (digest := fingerprint(raw.rows)) != facts.fingerprint:
        return (
            f"the rows of {name} differ from those that the card describes (fingerprint {digest[:12]}..., card "
            f"{facts.fingerprint[:12]}...)"
        )
    return None
