"""Apache Parquet, read with pyarrow.

`datasets` stores the features of a data set in the metadata of the file. Class labels are read as their names, as from the Hub.
"""

import json
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.class_labels import label_names, names_of_classes
from ft_toolkit.data.formats.base import Change, Format, RawRows, Source


def read(source: Source) -> RawRows:
    """Return one row per record, with lists and nulls as Python values and class labels as names. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(source.data))
        rows: RawRows = table.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # a damaged footer is an OSError
        problem = " ".join(str(error).split())
        raise DataError(f"{source.name}: not a readable parquet file ({problem}). Write or download it again") from None
    features = _features(table.schema)
    source.class_names = {name: names for name, feature in features.items() if (names := names_of_classes(feature))}
    if not source.class_names:
        return rows
    return [{name: label_names(value, features.get(name)) for name, value in row.items()} for row in rows]


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


FORMAT = Format(name="parquet", suffixes=(".parquet",), read=read, rewrite=rewrite, fits=fits, order=0, is_text=False)
