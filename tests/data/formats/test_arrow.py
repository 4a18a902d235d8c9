"""Apache Arrow files."""

import pyarrow
import pyarrow.feather

from ft_toolkit.data.local_files import read_file


def test_feather_files_and_the_files_of_datasets(tmp_path):
    import datasets

    rows = [{"text": "x", "label": ["a"]}, {"text": "y", "label": None}]
    pyarrow.feather.write_feather(pyarrow.Table.from_pylist(rows), tmp_path / "a.feather")
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "d")
    assert read_file(tmp_path / "a.feather") == rows
    assert read_file(next((tmp_path / "d").glob("*.arrow"))) == rows


def test_a_damaged_file_is_refused(write_file, error_of):
    for content in (b"ARROW1\x00\x00", b"x", b""):
        assert error_of(write_file("a.arrow", content)).startswith("a.arrow: not a readable Arrow file")
