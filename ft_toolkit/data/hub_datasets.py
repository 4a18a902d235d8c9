"""Read data sets from the Hugging Face Hub or its local cache."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.data import row_streams
from ft_toolkit.data.class_labels import label_names
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.streamed_rows import StreamedRows


@dataclass(frozen=True)
class HubRows:
    """The rows of one split of a Hub data set, and the commit they came from (None if unknown)."""

    rows: RawRows | StreamedRows
    commit: str | None


def read_hub(repo: str, config: str | None, revision: str | None, split: str, report: Report | None = None) -> HubRows:
    """Return one split of a data set on the Hub, or of the local cache when offline; see `table_rows`.

    Raises DataError when the data set or the split cannot be loaded.
    """
    table, commit = load_from_hub(repo, config, revision, split)
    return HubRows(table_rows(table, split, report), commit)


def load_from_hub(
    repo: str, config: str | None, revision: str | None, split: str | None, *, streaming: bool = False
) -> tuple[Any, str | None]:
    """Return one split as a `datasets.Dataset`, or all splits as a DatasetDict, and the commit (None if unknown).

    With `streaming`, they are iterable data sets, which read their rows when they are needed. Raises DataError when the data
    set or the split cannot be loaded.
    """
    import datasets
    from huggingface_hub import HfApi

    from ft_toolkit.core.hub_client import check_answers
    from ft_toolkit.core.hub_errors import FAILURES, explain
    from ft_toolkit.data.checked_downloads import check_downloads

    check_answers()
    check_downloads()
    # datasets would send the name of the data set to an address outside the Hub, to count downloads
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        commit = HfApi().dataset_info(repo, revision=revision, timeout=20).sha
    except FAILURES:
        commit = None  # the cache may still have the data set
    try:
        loaded = datasets.load_dataset(repo, config, split=split, revision=commit or revision, streaming=streaming)
    except FAILURES as error:
        which = f"split {split}, " if split is not None else ""
        if configs := re.search(r"available configs: \[(.*?)\]", str(error)):
            raise DataError(
                f"data set '{repo}' has several configs; set one: data.hub_config=NAME, with NAME one of {configs[1]}"
            ) from None
        raise DataError(
            f"data set '{repo}' ({which}revision {revision or 'main'}) cannot be loaded from the Hub or the cache: "
            f"{explain(error)}. To work offline, use local files: data.train=FILE data.validation=FILE"
        ) from None
    if streaming:
        return loaded, commit
    first = loaded if split is not None else next(iter(loaded.values()))
    return loaded, commit or _cached_commit(first.info.download_checksums or {})


def stream_from_hub(repo: str, config: str | None, revision: str | None) -> tuple[dict[str, Any], str | None]:
    """Return the splits of a data set as `datasets.IterableDataset`s, and the commit (None if unknown).

    `repo` may also be a folder with data files. Nothing is downloaded before a split is read. Raises DataError.
    """
    loaded, commit = load_from_hub(repo, config, revision, None, streaming=True)
    return dict(loaded), commit


def stream_rows(split: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of an IterableDataset, with class labels as names."""
    features = split.features.to_dict() if split.features else {}
    for row in split:
        yield {name: label_names(value, features.get(name)) for name, value in row.items()}


def _read_table(table: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a `datasets.Dataset`. 1,000 together are read in a sixth of the time of single rows."""
    features = table.features.to_dict()
    for columns in table.iter(1000):
        for values in zip(*columns.values(), strict=True):
            yield {name: label_names(value, features[name]) for name, value in zip(columns, values, strict=True)}


@dataclass(frozen=True)
class TableRows:
    """The rows of a `datasets.Dataset`, which reads them from a memory-mapped file; see `streamed_rows.RereadableRows`."""

    table: Any
    title: str
    notes: list[str] = field(default_factory=list)

    @property
    def n_rows_estimated(self) -> int:
        """The number of rows."""
        return len(self.table)

    def read(self, notes: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows. There are no further notes."""
        return iter(self)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, with class labels as names."""
        return _read_table(self.table)


def dataset_rows(table: Any) -> RawRows:
    """Return the rows of a `datasets.Dataset` as dicts, with class labels as names."""
    return list(_read_table(table))


def table_rows(table: Any, title: str, report: Report | None = None) -> RawRows | StreamedRows:
    """Return the rows of a `datasets.Dataset`; see `dataset_rows`. With `report`, the rows of a long one stay in its file.

    A table in the layout of another tool is never long: its rows are read together.
    """
    rows = TableRows(table, title)
    is_long = report is not None and table.data.nbytes >= row_streams.MIN_BYTES
    if not is_long or row_streams.has_layout(list(islice(rows, row_streams.HEAD_ROWS))):
        return dataset_rows(table)
    return StreamedRows([rows], report or no_report)


def _cached_commit(urls: Iterable[str]) -> str | None:
    """Return the commit in the URLs of a cached data set's files: hf://datasets/OWNER/NAME@COMMIT/FILE."""
    pattern = re.compile(r"^hf://datasets/[^@]+@([0-9a-f]{40})/")
    commits = {match[1] for match in map(pattern.match, urls) if match}
    return commits.pop() if len(commits) == 1 else None
