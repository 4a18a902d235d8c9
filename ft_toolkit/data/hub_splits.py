"""The rows of `data.hub`: any data set on the Hub, by its name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.core.progress import Report
from ft_toolkit.data.cards import Card, CardBlock, Source, SplitName
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.hub_datasets import load_from_hub, stream_from_hub, stream_rows, table_rows
from ft_toolkit.data.layouts import read_layout
from ft_toolkit.data.local_files import with_aliases
from ft_toolkit.data.splits import SPLITS
from ft_toolkit.data.streamed_rows import StreamedRows
from ft_toolkit.recipe.sections import DataSection

# The names of the splits in data sets, in the order in which they are tried.
_NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class HubDataSet:
    """The rows of each split, their origins, the commit (None if unknown), notes, and a card that only names the data set.

    `stream` are all training rows, if `rows` has only the first ones (data.stream_rows).
    """

    rows: dict[SplitName, RawRows | StreamedRows]
    origin: dict[str, str]
    commit: str | None
    notes: list[str]
    card: Card
    stream: Iterable[dict[str, Any]] | None = None


@dataclass(frozen=True)
class HubStream:
    """The rows of a split that is read from the Hub while they are used. Every iteration starts at the first row."""

    split: Any

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. Raises DataError if the Hub does not answer."""
        from ft_toolkit.core.hub_errors import FAILURES, explain

        try:
            yield from stream_rows(self.split)
        except FAILURES as error:
            raise DataError(f"the training rows can no longer be read from the Hub: {explain(error)}") from None


def read_data_set(section: DataSection, report: Report | None = None) -> HubDataSet:
    """Return the splits of the data set that `data.hub` names, from the Hub or from the local cache; see `table_rows`.

    Raises DataError when the data set or a split cannot be loaded.
    """
    repo, _, revision = (section.hub or "").partition("@")
    stream: Iterable[dict[str, Any]] | None = None
    if section.stream_rows is None:
        tables, commit = load_from_hub(repo, section.hub_config, revision or None, None)
    else:
        tables, commit = stream_from_hub(repo, section.hub_config, revision or None)
    rows: dict[SplitName, RawRows | StreamedRows] = {}
    origin: dict[str, str] = {}
    notes: list[str] = []
    for split, name in _choose_splits(section, repo, list(tables)).items():
        origin[split] = f"{repo} ({name})"
        remarks: list[str] = []
        if section.stream_rows is None:
            read = table_rows(tables[name], origin[split], report)
        elif split == "train":
            stream = HubStream(tables[name])
            read = list(islice(stream, section.stream_rows))
        else:
            read = list(HubStream(tables[name]))
        if isinstance(read, StreamedRows):
            rows[split] = read
            continue
        table = read_layout(read, origin[split], remarks)
        rows[split] = with_aliases(table.rows, table.aliases, remarks)
        notes += [f"{split}: {remark}" for remark in remarks]
    source = Source(hub=repo, config=section.hub_config, revision=commit or revision or None)
    card = Card(repo, Path(), {}, CardBlock(source=source, splits={}, tasks={}))
    return HubDataSet(rows, origin, commit, notes, card, stream)


def _choose_splits(section: DataSection, repo: str, names: list[str]) -> dict[SplitName, str]:
    """Return the name of each split in the data set: from the settings, else a usual name. Raises DataError."""
    chosen: dict[SplitName, str] = {}
    for split in SPLITS:
        wanted = getattr(section, split)
        if wanted is not None and wanted not in names:
            raise DataError(
                f"data set '{repo}' has no split '{wanted}'; allowed: {one_of(names)}.{did_you_mean(wanted, names)}"
            )
        if split != "train" and wanted is None and getattr(section, f"{split}_fraction") is not None:
            continue
        name = wanted or next((name for name in _NAMES[split] if name in names), None)
        if name is not None:
            chosen[split] = name
    if "train" not in chosen:
        raise DataError(
            f"data set '{repo}' has no split 'train'; set one: data.train=NAME, with NAME one of {one_of(names)}"
        )
    return chosen
