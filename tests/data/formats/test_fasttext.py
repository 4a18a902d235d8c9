"""fastText's training files."""

import pytest

from ft_toolkit.data.local_files import read_table


@pytest.mark.parametrize("name", ["a.txt", "cooking.train", "a", "a.ft"])
def test_labels_and_texts_under_any_suffix(write_file, name):
    table = read_table(write_file(name, "__label__pos good cup\n\n__label__very-bad\tbad  cup \n"))
    assert table.format == "fasttext"
    assert table.rows == [{"text": "good cup", "label": "pos"}, {"text": "bad  cup", "label": "very-bad"}]


def test_several_labels_make_lists_in_all_rows(write_file):
    table = read_table(write_file("a.txt", "__label__a __label__b x y\n__label__c z\n"))
    assert [row["label"] for row in table.rows] == [["a", "b"], ["c"]]


def test_a_line_without_a_label_is_refused_where_the_name_says_fasttext(write_file, error_of):
    assert error_of(write_file("a.ft", "__label__a x\ny\n")).startswith(
        "a.ft:2: the line must begin with '__label__NAME'"
    )
