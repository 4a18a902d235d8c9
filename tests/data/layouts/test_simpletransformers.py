"""The column names of simpletransformers."""

import pytest

from ft_toolkit.data.local_files import read_table


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text,labels", {"text": "x", "label": "y"}),
        ("text_a,text_b,labels", {"text": "x", "text_pair": "y", "label": "z"}),
        ("prefix,input_text,target_text", {"source": "y", "target": "z", "document": "y", "summary": "z"}),
        ("text,label", {"text": "x", "label": "y"}),
    ],
)
def test_columns_are_known_under_the_names_of_the_tasks(write_file, header, expected):
    table = read_table(write_file("a.csv", f"{header}\n{','.join('xyz'[: len(header.split(','))])}\n"))
    assert expected.items() <= table.rows[0].items()
    assert bool(table.notes) == ("labels" in header or "input_text" in header)


def test_a_column_label_of_the_file_is_not_replaced(write_file):
    table = read_table(write_file("a.csv", "text,labels,label\nx,y,z\n"))
    assert (table.rows[0]["label"], table.notes) == ("z", [])
