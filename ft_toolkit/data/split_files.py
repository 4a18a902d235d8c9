"""Find the training, validation and test files among several, by their names."""

import re
from collections.abc import Sequence
from pathlib import Path

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.formats import folder_formats
from ft_toolkit.data.local_files import check_path, is_file_name
from ft_toolkit.data.splits import SPLITS

# Words in file names that name a split.
_WORDS: dict[str, SplitName] = {
    "train": "train", "training": "train", "trn": "train", "dev": "validation", "devel": "validation", "val": "validation",
    "valid": "validation", "validation": "validation", "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip


def find_split_files(names: Sequence[str]) -> dict[SplitName, str]:
    """Return the file of each split.

    `names` is one file or pattern, several files, or a folder. For a file with "train" in its name, the files beside it for the
    other splits are found by their names (reviews_train.csv: reviews_dev.csv, reviews_test.csv). A single file without a split
    in its name has the training rows. Files of one split that differ in a number become a pattern. Raises DataError.
    """
    if not names:
        raise DataError("no data file; name a file, several files, or a folder")
    files = [Path(name) for name in names]
    for file in files:
        check_path(file)
    if len(files) > 1:
        return _by_name(files, "the files")
    (file,) = files
    if file.is_dir():
        entries = _entries(file)
        parts = [entry for entry in entries if split_of(entry) is not None]
        if not any(split_of(entry) == "train" for entry in parts) and any(item.fits(file) for item in folder_formats()):
            return {"train": str(file)}
        if not entries:
            raise DataError(f"{file}: the folder has no data file")
        return _by_name(parts or entries, str(file))
    return (
        _by_name(_siblings(file), str(file.parent))
        if file.exists() and split_of(file) == "train"
        else {"train": str(file)}
    )


def split_of(file: Path) -> SplitName | None:
    """Return the split that a file name means; None without a word for one or with words for several."""
    splits = {_WORDS[word] for word in _words(file) if word in _WORDS}
    return splits.pop() if len(splits) == 1 else None


def _words(file: Path) -> list[str]:
    return re.findall(r"[a-z]+", file.name.lower())


def _siblings(file: Path) -> list[Path]:
    """Return a training file and the files beside it whose names differ only in the word for the split."""
    kept = [word for word in _words(file) if word not in _WORDS]
    return [
        file,
        *(
            other
            for other in sorted(file.parent.iterdir())
            if other.is_file()
            and split_of(other) in ("validation", "test")
            and [word for word in _words(other) if word not in _WORDS] == kept
        ),
    ]


def _entries(folder: Path) -> list[Path]:
    """Return the data files in a folder, and the folders in it that a format reads."""
    return [
        entry
        for entry in sorted(folder.iterdir())
        if (any(item.fits(entry) for item in folder_formats()) if entry.is_dir() else is_file_name(entry.name))
    ]


def _with_patterns(files: Sequence[Path]) -> list[Path]:
    """Return the files, with one pattern for files whose names differ only in numbers (shards)."""
    together: dict[Path, list[Path]] = {}
    for file in files:
        together.setdefault(file.with_name(re.sub("[0-9]+", "0", file.name)), []).append(file)
    return [shards[0] if len(shards) == 1 else _pattern(shards) for shards in together.values()]


def _pattern(files: Sequence[Path]) -> Path:
    """Return the pattern for files in one folder whose names differ only in numbers."""
    parts = zip(*(re.split("([0-9]+)", file.name) for file in files), strict=True)
    return files[0].with_name("".join(part[0] if len(set(part)) == 1 else "*" for part in parts))


def _by_name(files: Sequence[Path], where: str) -> dict[SplitName, str]:
    """Return the files by split; a single file without a split in its name has the training rows. Raises DataError."""
    by_split: dict[SplitName, Path] = {}
    for file in _with_patterns(files):
        split = split_of(file) or ("train" if len(files) == 1 else None)
        if split is None:
            names = one_of(file.name for file in files)
            raise DataError(f"{where}: each name must contain its split (train, validation or test); found {names}")
        if split in by_split:
            raise DataError(
                f"{where}: {by_split[split].name} and {file.name} both mean {split}; name one file per split"
            )
        by_split[split] = file
    if "train" not in by_split:
        names = one_of(file.name for file in files)
        raise DataError(f"{where}: no file with training rows (a name with 'train'); found {names}")
    return {split: str(by_split[split]) for split in SPLITS if split in by_split}
