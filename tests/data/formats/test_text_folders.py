"""A folder of text files per class."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import read_file, read_table


def test_the_folders_are_the_labels(tmp_path):
    for name, content in {"pos/1.txt": "good\ncup\n", "pos/2.txt": "fine", "neg/1.txt": "caf\u00e9"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content.encode("cp1252"))
    table = read_table(tmp_path)
    assert table.rows == [
        {"id": "neg/1.txt", "text": "caf\u00e9", "label": "neg"},
        {"id": "pos/1.txt", "text": "good\ncup", "label": "pos"},
        {"id": "pos/2.txt", "text": "fine", "label": "pos"},
    ]
    assert table.notes[1] == "each of 3 text files is a row; the names of their folders are the labels: neg, pos"


def test_other_folders_are_refused_with_their_data_files(tmp_path, write_file):
    write_file("train.csv", "text,label\nx,a\n")
    with pytest.raises(
        DataError, match=r"is a folder that no format reads; .*Give one of its files, such as .*train\.csv"
    ):
        read_file(tmp_path)
