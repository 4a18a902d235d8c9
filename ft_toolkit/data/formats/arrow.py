"""Apache Arrow files: Feather, and the files of the library datasets, read with pyarrow."""

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows, Source

_FILE = b"ARROW1"


def read(source: Source) -> RawRows:
    """Return one row per record, with lists and nulls as Python values. Raises DataError."""
    import pyarrow
    import pyarrow.ipc

    opened = pyarrow.ipc.open_file if source.data.startswith(_FILE) else pyarrow.ipc.open_stream
    try:
        rows: RawRows = opened(pyarrow.BufferReader(source.data)).read_all().to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source.name}: not a readable Arrow file ({error}). Write or download it again") from None
    return rows


def fits(source: Source) -> bool:
    """Return whether the file begins with the magic number of Arrow files."""
    return source.data.startswith(_FILE)


FORMAT = Format(name="arrow", suffixes=(".arrow", ".feather"), read=read, fits=fits, order=2, is_text=False)
