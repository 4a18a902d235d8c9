"""Apache Parquet, read with pyarrow."""

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows, Source


def read(source: Source) -> RawRows:
    """Return one row per record, with lists and nulls as Python values. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows: RawRows = pyarrow.parquet.read_table(pyarrow.BufferReader(source.data)).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # a damaged footer is an OSError
        problem = " ".join(str(error).split())
        raise DataError(f"{source.name}: not a readable parquet file: {problem}") from None
    return rows


def fits(source: Source) -> bool:
    """Return whether the file begins with the magic number of Parquet."""
    return source.data.startswith(b"PAR1")


FORMAT = Format(name="parquet", suffixes=(".parquet",), read=read, fits=fits, order=0, is_text=False)
