"""Apache Parquet, read with pyarrow."""

from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per record, with lists and nulls as Python values. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows: RawRows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # a damaged footer is an OSError
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    return rows


FORMAT = Format(name="parquet", suffixes=(".parquet",), read=read)
