"""Folders of BRAT, written from its documentation."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import check_file, read_table


def test_texts_with_their_annotations(write_file, tmp_path):
    write_file("d2.txt", "nothing\n")
    write_file("d2.ann", "")
    write_file("d1.txt", "Anna left\r\nNew York City")
    write_file("d1.ann", "T1\tPER 0 4\tAnna\nT2\tLOC 11 14;20 24\tNew City\nR1\tRel Arg1:T1 Arg2:T2\n#1\tNote T1\tx\n")
    check_file(tmp_path)
    table = read_table(tmp_path)
    assert table.format == "brat" and [row["id"] for row in table.rows] == ["d1", "d2"]
    texts = [(row["text"][e["start"] : e["end"]], e["label"]) for row in table.rows for e in row["entities"]]
    assert texts == [("Anna", "PER"), ("New York City", "LOC")]
    assert table.notes == ["1 entities have several parts; each is read from its first to its last character"]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("T1\tPER 1 4\tAnna\n", r"a\.ann:1: the text from 1 to 4 is 'nna', not 'Anna'"),
        ("T1 PER\n", r"a\.ann:1: must be T1<tab>TYPE START END<tab>TEXT; found 'T1 PER'"),
    ],
)
def test_invalid_annotations_are_refused(write_file, tmp_path, annotation, message):
    write_file("a.txt", "Anna left")
    write_file("a.ann", annotation)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path)


def test_a_missing_text_is_refused(write_file, tmp_path):
    write_file("a.ann", "")
    with pytest.raises(DataError, match=r"a\.ann: the text a\.txt is missing"):
        read_table(tmp_path)
