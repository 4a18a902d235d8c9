"""Find the training, validation and test files among several, by their names."""

import re
from collections.abc import Sequence
from pathlib import Path

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.local_files import is_file_name
from ft_toolkit.data.splits import SPLITS

# Words in file names that mean a split.
_WORDS: dict[str, SplitName] = {
    "train": "train", "training": "train", "trn": "train", "dev": "validation", "devel": "validation", "val": "validation",
    "valid": "validation", "validation": "validation", "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip


def find_split_files(names: Sequence[str]) -> dict[SplitName, str]:
    """Return the file of each split.

    `names` is one file, several files, or a folder. A file with "train" in its name brings the files beside it with the same
    name for the other splits (reviews_train.csv: reviews_dev.csv, reviews_test.csv). A single file without a split in its name
    has the training rows. Raises DataError.
    """
    files = [Path(name) for name in names]
    for file in files:
        if not file.exists():
            raise DataError(f"{file}: file not found (looked in {file.absolute().parent})")
    if len(files) == 1 and files[0].is_dir():
        return _by_name(_data_files(files[0]), str(files[0]))
    if len(files) > 1:
        return _by_name(files, "the files")
    (file,) = files
    return {"train": str(file)} if split_of(file) != "train" else _by_name(_siblings(file), str(file.parent))


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


def _data_files(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and is_file_name(file.name)]
    if not files:
        raise DataError(f"{folder}: the folder has no data file")
    return files


def _by_name(files: Sequence[Path], where: str) -> dict[SplitName, str]:
    """Return the files by split; a single file without a split in its name has the training rows. Raises DataError."""
    found: dict[SplitName, Path] = {}
    for file in files:
        split = split_of(file) or ("train" if len(files) == 1 else None)
        if split is None:
            names = one_of(file.name for file in files)
            raise DataError(
                f"{where}: the names must say which split a file is (train, validation, test); found {names}"
            )
        if split in found:
            raise DataError(f"{where}: {found[split].name} and {file.name} both mean {split}; name one file per split")
        found[split] = file
    if "train" not in found:
        names = one_of(file.name for file in files)
        raise DataError(f"{where}: no file with training rows (a name with 'train'); found {names}")
    return {split: str(found[split]) for split in SPLITS if split in found}
