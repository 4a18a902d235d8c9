"""csv and tsv files."""

import csv

import pytest

from ft_toolkit.data.local_files import read_file, read_table
from ft_toolkit.recipe.reading import Reading

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


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("text;label\ngood cup, warm;pos\nbad;neg\n", ";"),
        ("text;label\ngood cup warm;pos\nbad;neg\n", ";"),
        ("text|label\ngood, warm|pos\nbad|neg\n", "|"),
        ("text\tlabel\ngood, warm\tpos\nbad\tneg\n", "\t"),
        ("sep=;\r\ntext;label\r\nx;a\r\n", ";"),
        ("SEP=,\ntext,label\nx,a\n", ","),
        ('text;label\n"a;b\nc";pos\n', ";"),
    ],
)
def test_the_delimiter_is_found_and_noted(write_file, content, delimiter):
    table = read_table(write_file("a.csv", content))
    assert table.delimiter == delimiter and all(list(row) == ["text", "label"] for row in table.rows)
    assert [note for note in table.notes if "separated by" in note] != [] or delimiter == ","


@pytest.mark.parametrize("content", ["text\na;b\nc\n", "text,label\na;b,c\n", "text\na|b\nc|d\n"])
def test_other_delimiters_inside_texts_do_not_matter(write_file, content):
    table = read_table(write_file("a.csv", content))
    assert (table.delimiter, table.notes) == (",", [])


def test_a_sep_line_counts_in_line_numbers(write_file, error_of):
    assert error_of(write_file("a.csv", "sep=;\ntext;label\nx;a\ny\n")).startswith(
        "a.csv:4: 1 fields, but the header has 2"
    )


@pytest.mark.parametrize(
    ("content", "texts", "is_noted"),
    [
        ('text\tlabel\n"He said ""good"""\tpos\nbad cup\tneg\n', ['He said "good"', "bad cup"], True),
        ('text\tlabel\n"two\nlines"\tpos\n', ["two\nlines"], True),
        ('text\tlabel\n"a\tb"\tpos\n', ["a\tb"], True),
        ('"text"\t"label"\n"plain"\t"pos"\n', ["plain"], True),
        ('text\tlabel\n"good"\tpos\n', ['"good"'], True),
        ('text\tlabel\n5" disk and ""\tpos\n', ['5" disk and ""'], False),
        ('text\tlabel\n"good" he said\tpos\n', ['"good" he said'], False),
    ],
)
def test_quotation_marks_of_a_tsv_file_are_removed_only_where_a_program_added_them(
    write_file, content, texts, is_noted
):
    table = read_table(write_file("a.tsv", content))
    assert [row["text"] for row in table.rows] == texts and bool(table.notes) == is_noted


def test_what_pandas_writes_is_read_back(tmp_path):
    import pandas

    frame = pandas.DataFrame(
        {"text": ['He said "good"', "two\nlines", "a;b\tc,d", "café"], "label": ["a", "b", "a", "b"]}
    )
    for name, options in {
        "a.tsv": {"sep": "\t"},
        "b.csv": {"sep": ";"},
        "c.csv": {"encoding": "utf-8-sig"},
        "d.csv": {"encoding": "utf-16"},
        "e.csv": {"encoding": "cp1252", "sep": ";"},
        "f.tsv": {"sep": "\t", "quoting": csv.QUOTE_ALL},
        "g.csv.gz": {},
        "h.csv.zip": {},
    }.items():
        frame.to_csv(tmp_path / name, index=False, **options)
        assert read_file(tmp_path / name) == frame.to_dict("records"), name


def test_a_file_without_a_header_line(write_file, error_of):
    path = write_file("a.csv", "good,pos\nbad,neg\n")
    assert read_file(path, Reading(column_names=["text", "label"]))[0] == {"text": "good", "label": "pos"}
    assert "data.reading.column_names=[NAME, ...]" in error_of(write_file("b.csv", "pos,pos\nbad,neg\n"))


def test_a_repeated_header_line_is_no_row(write_file):
    table = read_table(write_file("a.csv", "text,label\nx,a\ntext,label\ny,b\n"))
    assert [row["text"] for row in table.rows] == ["x", "y"]
    assert table.notes == ["1 repeated header line was left out"]


def test_settings_override_what_the_file_says(write_file):
    path = write_file("a.csv", 'text,label\n"x",a\n')
    assert read_file(write_file("b.csv", "text,label\nx,a\n"), Reading(delimiter=";")) == [{"text,label": "x,a"}]
    assert read_file(path, Reading(quotes=False)) == [{"text": '"x"', "label": "a"}]


def test_the_sms_spam_collection_on_kaggle(write_file):
    """Windows-1252, with three columns that have no name."""
    content = 'v1,v2,,,\r\nham,"Go until jurong point, crazy..",,,\r\nspam,Win \u00a31000,,,\r\n'
    table = read_table(write_file("spam.csv", content.encode("cp1252")))
    assert [row["v2"] for row in table.rows] == ["Go until jurong point, crazy..", "Win \u00a31000"]
    assert "columns without a name are called column_3, column_4, column_5" in table.notes


def test_white_space_around_the_names_of_columns_is_removed(write_file):
    assert read_file(write_file("a.csv", "text, label\nx,a\n")) == [{"text": "x", "label": "a"}]


def test_the_error_names_likely_causes(write_file, error_of):
    assert error_of(write_file("a.csv", "text\nhello, world\n")).endswith(
        "with one column, set data.reading.delimiter=tab"
    )
    assert "as R writes it" in error_of(write_file("a.tsv", "text\tlabel\n1\tx\ta\n"))
    assert read_file(write_file("b.csv", "text\nhello, world\n"), Reading(delimiter="\t")) == [{"text": "hello, world"}]


def test_quotation_marks_with_a_backslash(write_file, error_of):
    """As Spark and MySQL write them."""
    table = read_table(write_file("a.csv", 'text,label\n"He said \\"hi, you\\"",pos\n"C:\\\\x",neg\n'))
    assert [row["text"] for row in table.rows] == ['He said "hi, you"', "C:\\x"]
    assert any("written with a backslash" in note for note in table.notes)
    assert read_file(write_file("b.csv", 'text,label\n"C:\\",pos\n'))[0]["text"] == "C:\\"
    assert "',' expected after" in error_of(write_file("c.csv", 'text,label\n"a\\"b",x,pos\n'))


def test_files_joined_with_their_byte_order_marks(write_file):
    part = "\ufefftext,label\nx,a\n"
    assert read_file(write_file("a.csv", part + part)) == [{"text": "x", "label": "a"}] * 2
