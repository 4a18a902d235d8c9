"""Keep the rows that `load_data` has read from large files, so that the next start of the same run does not read them again.

The key of an entry is a hash of the content of the files and of every setting that affects the rows.
"""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ft_toolkit
from ft_toolkit.core import cache
from ft_toolkit.core.files import file_sha256
from ft_toolkit.core.patch_records import PatchFacts
from ft_toolkit.data.groups import Groups
from ft_toolkit.data.local_files import files_of
from ft_toolkit.data.source_rows import local_files
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_rows import StoredRows, store_rows
from ft_toolkit.data.unpacking import count_bytes, split_member
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import TASKS_FOLDER
from ft_toolkit.tasks.base import DefinedLabels, Task, TaskSettings

# Files with fewer bytes, unpacked, are read each time: 10,000 rows of 40 tokens have 2.5 MB and are read in 0.3 s.
MIN_BYTES = 4_000_000
_KIND, _FACTS = "rows", "facts.json"


def code_version() -> str:
    """Return a hash of Python's version and of the modules that read rows and make features, so that others read them again.

    The modules of the folder in FT_TOOLKIT_TASKS are among them.
    """
    return _code_version(os.environ.get(TASKS_FOLDER))


@functools.cache
def _code_version(tasks_folder: str | None) -> str:
    package = Path(ft_toolkit.__file__).parent
    folders = [package / room for room in ("core", "metrics", "tasks", "recipe", "data")]
    digest = hashlib.sha256(sys.version.encode())  # it determines the form of `marshal` and the Unicode tables
    for folder in [*folders, *([Path(tasks_folder)] if tasks_folder else [])]:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def rows_key(
    section: DataSection, task: Task, settings: TaskSettings | None, keep: Sequence[str], selection: int
) -> str | None:
    """Return the key of the rows of local files; None for other sources, small files, and folders."""
    files = [file for path in local_files(section).values() for file in files_of(Path(path))]
    if (
        section.stream_rows is not None
        or section.card is not None
        or not files
        or not all(split_member(file)[0].is_file() for file in files)
        or count_bytes(files, MIN_BYTES) < MIN_BYTES
    ):
        return None
    values = section.model_dump(mode="json", exclude={"train_fraction", "max_length"})
    named = [Path(value) for value in values.values() if isinstance(value, str) and Path(value).is_file()]
    # the suffix of a file says how it is read
    contents = [[str(file), file_sha256(split_member(file)[0])] for file in dict.fromkeys([*files, *named])]
    task_values = None if settings is None else settings.model_dump(mode="json")
    return cache.key_of(code_version(), values, contents, task.name, task_values, keep, selection)


def read_rows(key: str) -> LoadedData | None:
    """Return the data of an entry, without its data card; None if there is no such entry."""
    return cache.read(_KIND, key, _read_entry)


def _read_entry(entry: Path) -> LoadedData:
    facts = json.loads((entry / _FACTS).read_text(encoding="utf-8"))
    labels, label_rows = facts["labels"], entry / "labels.arrow"
    return LoadedData(
        splits={name: StoredRows(_rows_file(entry, name), digest) for name, digest in facts["splits"].items()},
        origin=facts["origin"],
        commit=None,
        card=None,
        notes=facts["notes"],
        kept=tuple(facts["kept"]),
        groups={name: Groups(column, by_id) for name, (column, by_id) in facts["groups"].items()},
        label_rows=StoredRows(label_rows) if label_rows.is_file() else None,
        labels=None if labels is None else DefinedLabels(tuple(labels["names"]), labels["by"]),
        held_out=tuple(facts["held_out"]),
        patch=None if facts["patch"] is None else PatchFacts.model_validate(facts["patch"]),
    )


def keep_rows(key: str, data: LoadedData) -> LoadedData:
    """Return the same data with rows in the cache; the unchanged data if they cannot be stored there."""
    if data.skipped:
        return data
    try:
        entry = cache.add(_KIND, key, _writer(data))
    except ValueError:  # rows with values such as dates
        return data
    return data if entry is None else read_rows(key) or data


def _writer(data: LoadedData) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name, rows in data.splits.items():
            store_rows(rows, _rows_file(folder, name))
        if data.label_rows is not None:
            store_rows(data.label_rows, folder / "labels.arrow")
        labels = data.labels
        facts: dict[str, Any] = {
            "splits": data.split_fingerprints,
            "origin": data.origin,
            "notes": data.notes,
            "kept": data.kept,
            "groups": {name: [groups.column, groups.by_id] for name, groups in data.groups.items()},
            "held_out": list(data.held_out),
            "patch": None if data.patch is None else data.patch.as_json(),
            "labels": None if labels is None else {"names": labels.names, "by": labels.by},
        }
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")

    return write


def _rows_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.arrow"
