"""Parquet files."""

import pyarrow
import pyarrow.parquet
import pytest

from ft_toolkit.data.local_files import read_file


def test_lists_and_nulls_are_kept(tmp_path):
    rows = [{"text": "x", "label": ["a", "b"], "n": 1}, {"text": "y", "label": None, "n": 2}]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read_file(path) == rows


@pytest.mark.parametrize("damage", ["cut", "footer", "text", "no parquet", "csv"])
def test_a_damaged_file_is_refused(tmp_path, error_of, damage):
    path = tmp_path / "rows.parquet"
    rows = [{"text": "ein Satz", "label": "a"}, {"text": "a\nb", "label": "b"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    damaged = {
        "cut": content[: len(content) // 2],
        "footer": content[:-40] + b"\xff" * 30 + content[-10:],
        "text": content.replace(b"ein Satz", b"ein \xff\xfftz"),
        "no parquet": b"PAR1",
        "csv": b"text,label\nx,a\n",
    }
    path.write_bytes(damaged[damage])
    assert error_of(path).startswith("rows.parquet: not a readable parquet file (")
