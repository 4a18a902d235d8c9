"""A folder that `Dataset.save_to_disk` of the library datasets wrote."""

from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import FolderFormat, FolderSource, RawRows
from ft_toolkit.data.hub_datasets import dataset_rows


def read(source: FolderSource) -> RawRows:
    """Return the rows, with class labels as names. Raises DataError for a folder with several splits."""
    splits = sorted(file.parent.name for file in source.path.glob("*/state.json"))
    if (source.path / "dataset_dict.json").is_file():
        names = ("train", "validation", "test")
        chosen = [f"data.{name}={source.path / name}" for name in names if name in splits]
        raise DataError(
            f"{source.path}: holds a DatasetDict with the splits {', '.join(splits)}; give one split: "
            f"{' '.join(chosen) or source.path / '/'.join(splits[:1])}"
        )
    import datasets
    import pyarrow

    try:
        return dataset_rows(datasets.load_from_disk(str(source.path)).with_format(None))
    except (
        OSError,
        ValueError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
        pyarrow.ArrowException,
    ) as error:
        # datasets does not check the form of its JSON files
        raise DataError(
            f"{source.path}: not a readable folder of save_to_disk ({' '.join(str(error).split())}). Save it again"
        ) from None


def fits(path: Path) -> bool:
    """Return whether the folder has the files of save_to_disk."""
    return (path / "dataset_dict.json").is_file() or all(
        (path / name).is_file() for name in ("state.json", "dataset_info.json")
    )


FORMAT = FolderFormat(name="saved_dataset", fits=fits, read=read)
