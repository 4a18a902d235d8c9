"""csv and tsv files."""

import csv

import pytest

from ft_toolkit.data.local_files import read_file

ROWS = [{"text": "ein Satz", "label": "a"}, {"text": 'with "quotes", a comma\nand a second line', "label": "b"}]


def test_quotes_commas_and_fields_that_span_lines(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    assert read_file(path) == ROWS


def test_tsv_keeps_quotation_marks(write_file):
    path = write_file("rows.tsv", 'text\tlabel\n"Unfinished quote\ta\nsays "no, no"\tb\n')
    assert read_file(path) == [
        {"text": '"Unfinished quote', "label": "a"},
        {"text": 'says "no, no"', "label": "b"},
    ]


def test_blank_lines_are_skipped(write_file):
    assert read_file(write_file("a.csv", "text,label\n\nx,a\n\n")) == [{"text": "x", "label": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: the file is empty; the first line must hold the column names"),
        ("a.csv", "text,label\n", "a.csv: the file has no rows"),
        ("a.csv", "text,text\nx,y\n", "a.csv:1: duplicate column name in the header: text, text"),
        (
            "a.csv",
            "text,label\nx,a\nwell, no,b\n",
            "a.csv:3: 3 fields, but the header has 2 (text, label); put fields that contain a comma in quotes",
        ),
        ("a.csv", 'text,label\n"two\nlines",a\nshort\n', "a.csv:4: 1 fields, but the header has 2"),
        ("a.csv", 'text,label\nx,a\n"never closed,b\n', "a.csv:3: unexpected end of data"),
        ("a.csv", 'text,label\n"x" y,a\n', "a.csv:2: ',' expected after '\"'"),
        (
            "a.tsv",
            "text\tlabel\nx\ta\tb\n",
            "a.tsv:2: 3 fields, but the header has 2 (text, label); a field must not contain a tab",
        ),
    ],
)
def test_invalid_files_are_refused_with_line_and_remedy(write_file, error_of, name, content, message):
    assert error_of(write_file(name, content)).startswith(message)


def test_a_very_long_field_is_read(write_file):
    path = write_file("a.csv", f"text,label\n{'word ' * 100_000},a\n")
    assert len(read_file(path)[0]["text"]) == 500_000
