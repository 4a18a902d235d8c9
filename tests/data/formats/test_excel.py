"""Excel workbooks, written with openpyxl and pandas."""

import datetime

import pytest

from ft_toolkit.data.local_files import read_file, read_table
from ft_toolkit.recipe.reading import Reading

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def workbook(tmp_path):
    """Return a function that writes sheets of rows and returns the path."""

    def write(name="a.xlsx", **sheets):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a"])
def test_the_first_row_has_the_names(workbook, name):
    rows = [["text", "label", "when"], ["good; \u2028cup", 1, datetime.date(2026, 1, 2)], [], ["bad", None, None]]
    assert read_file(workbook(name, Sheet=rows)) == [
        {"text": "good; \u2028cup", "label": 1, "when": "2026-01-02T00:00:00"},
        {"text": "bad", "label": None, "when": None},
    ]


def test_a_sheet_can_be_chosen(workbook):
    path = workbook(First=[["text"], ["a"]], Second=[["text"], ["b"]])
    table = read_table(path)
    assert table.rows == [{"text": "a"}] and "the sheet 'First' is read, not Second" in table.notes[0]
    assert read_file(path, Reading(sheet="Second")) == [{"text": "b"}]


def test_refusals(workbook, write_file, error_of):
    unnamed = workbook("d.xlsx", A=[["text", None, None], ["a", "b", "c"]])
    assert read_file(unnamed) == [{"text": "a", "column_2": "b", "column_3": "c"}]
    assert "duplicate column names" in error_of(workbook(A=[["text", "text"], ["a", "b"]]))
    assert error_of(workbook(A=[["text"]])) == "a.xlsx: the file has no rows"
    assert error_of(write_file("b.xlsx", b"PK\x03\x04 xl/workbook.xml")).startswith("b.xlsx: not a readable Excel file")
    assert error_of(write_file("c.xlsx", "text,label\nx,a\n")).startswith("c.xlsx: not a readable Excel file")


def test_what_pandas_writes(tmp_path):
    import pandas

    rows = [{"text": "x", "label": "a"}, {"text": "y\nz", "label": "b"}]
    pandas.DataFrame(rows).to_excel(tmp_path / "a.xlsx", index=False)
    assert read_file(tmp_path / "a.xlsx") == rows
