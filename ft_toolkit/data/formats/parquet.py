"""Apache Parquet, read with pyarrow.

`datasets` stores the features of a data set in the metadata of the file. Class labels are read as their names, as from the Hub.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.class_labels import label_names, names_of_classes
from ft_toolkit.data.formats.base import Change, Format, RawRows, Source

# Rows that are read together from a long file.
_BATCH = 4096


def read(source: Source) -> RawRows:
    """Return one row per record, with lists and nulls as Python values and class labels as names. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    with _readable(source):
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(source.data))
        rows: RawRows = table.to_pylist()
    features = _features(table.schema)
    source.class_names = {name: names for name, feature in features.items() if (names := names_of_classes(feature))}
    if not source.class_names:
        return rows
    return [{name: label_names(value, features.get(name)) for name, value in row.items()} for row in rows]


def stream_file(source: Source, path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a long file; see `read`. Raises DataError."""
    import pyarrow.parquet

    with _readable(source), pyarrow.parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        features = _features(file.schema_arrow)
        source.class_names = {name: names for name, feature in features.items() if (names := names_of_classes(feature))}
        for batch in file.iter_batches(_BATCH):
            for row in batch.to_pylist():
                yield {name: label_names(value, features.get(name)) for name, value in row.items()}


@contextmanager
def _readable(source: Source) -> Iterator[None]:
    """Turn errors of pyarrow into errors with the name of the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # a damaged footer is an OSError
        problem = " ".join(str(error).split())
        raise DataError(f"{source.name}: not a readable parquet file ({problem}). Write or download it again") from None


def _features(schema: Any) -> dict[str, Any]:
    """Return the features that `datasets` stored in the metadata of a schema, by column; empty without them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def fits(source: Source) -> bool:
    """Return whether the file begins with the magic number of Parquet."""
    return source.data.startswith(b"PAR1")


def rewrite(source: Source, change: Change) -> bytes:
    """Return the file with changed records, and with the same schema."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(source.data))
    rows = [change(row, f"{source.name}: row {number}") for number, row in enumerate(table.to_pylist(), 1)]
    output = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), output)
    content: bytes = output.getvalue().to_pybytes()
    return content


FORMAT = Format(
    name="parquet",
    suffixes=(".parquet",),
    read=read,
    stream_file=stream_file,
    rewrite=rewrite,
    fits=fits,
    order=0,
    is_text=False,
)
