"""Reading data files of any format: encodings, suffixes, and files that are missing or unreadable."""

import os
import re

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import check_file, is_file_name, read_file, read_table
from ft_toolkit.recipe.reading import Reading


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text,label\nx,a\n"),
        ("a.tsv", "text\tlabel\nx\ta\n"),
        ("a.json", '[{"text": "x", "label": "a"}]'),
        ("a.jsonl", '{"text": "x", "label": "a"}\n'),
        ("A.CSV", "text,label\r\nx,a\r\n"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_byte_order_marks_line_ends_and_capital_suffixes_do_not_matter(write_file, name, text, mark):
    assert read_file(write_file(name, mark + text)) == [{"text": "x", "label": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"text,label\n\xef\xf0\xe8\xe2\xe5\xf2,a\n",
            "a.csv:2: not valid UTF-8; save the file as UTF-8, or set",
        ),
        ("a.csv", "text,label\ncafé,a\n".encode() + b"caf\xe9,b\n", "a.csv:3: not valid UTF-8"),
        ("a.text", "x", "a.text: unknown file type '.text'; allowed: .arrow"),
        ("a", "x", "a: unknown file type ''; allowed: .arrow"),
    ],
)
def test_unknown_types_and_encodings_are_refused(write_file, error_of, name, content, message):
    assert error_of(write_file(name, content)).startswith(message)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_line_of_an_invalid_byte_is_right_far_into_a_file(write_file, error_of, suffix):
    """UnicodeDecodeError reports a position in the read buffer of 8 KiB; the message must have the line of the file."""
    row = (
        b'{"text": "xxxxxxxxxxxxxxxxxxxxxxxxxx"}\n'
        if suffix == ".jsonl"
        else b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,a\n"
    )
    content = (b"" if suffix == ".jsonl" else b"text,label\n") + row * 2000 + row.replace(b"x", b"\xff") + row
    line = 2001 if suffix == ".jsonl" else 2002
    assert error_of(write_file(f"a{suffix}", content)).startswith(f"a{suffix}:{line}: not valid UTF-8")


def test_the_error_for_a_missing_file_has_the_folder_and_a_suggestion(write_file):
    path = write_file("train.csv", "text,label\nx,a\n")
    with pytest.raises(DataError, match=re.escape("file not found (looked in")) as caught:
        check_file(path.with_name("trian.csv"))
    assert str(caught.value).endswith(f"Did you mean '{path}'?")
    with pytest.raises(DataError, match=r"file not found .*nowhere\)\.$"):
        check_file(path.parent / "nowhere" / "x.csv")
    path.with_name("folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv: is a folder that no format reads"):
        check_file(path.with_name("folder.csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_read_permission_is_refused(write_file, error_of):
    path = write_file("a.csv", "text,label\nx,a\n")
    path.chmod(0)
    assert error_of(path) == "a.csv: cannot read the file: Permission denied"


def test_a_pattern_reads_all_files_in_the_order_of_their_names(write_file, error_of):
    import pyarrow
    import pyarrow.parquet

    for number in (1, 0):
        path = write_file(f"train-0000{number}-of-00002.parquet", b"")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": f"x{number}"}]), path)
    pattern = path.with_name("train-*.parquet")
    table = read_table(pattern)
    assert [row["text"] for row in table.rows] == ["x0", "x1"] and is_file_name(str(pattern))
    assert table.notes == ["2 files: train-00000-of-00002.parquet, train-00001-of-00002.parquet"]
    assert "no file matches this pattern" in error_of(path.with_name("test-*.parquet"))
    write_file("train-2.csv", "text\nx\n")
    assert "the files have different formats" in error_of(path.with_name("train-*"))


@pytest.mark.parametrize("name", ["a*b.csv", "a[1].csv"])
def test_a_file_whose_name_looks_like_a_pattern_is_read(write_file, name):
    assert read_file(write_file(name, "text\nx\n")) == [{"text": "x"}]


def test_the_format_can_be_set(write_file, error_of):
    path = write_file("a.txt", '{"a": 1}\n{"a": 2}\n')
    assert read_file(path) == [{"a": 1}, {"a": 2}]
    assert any("data.reading.format=txt overrides this" in note for note in read_table(path).notes)
    assert read_file(path, Reading(format="txt"))[0] == {"text": '{"a": 1}'}
    with pytest.raises(DataError, match=r"unknown format 'tx'; allowed: .*Did you mean 'txt'"):
        read_file(path, Reading(format="tx"))


def test_lines_that_look_like_columns_are_noted_in_a_text_file(write_file):
    assert "data.reading.format=csv" in read_table(write_file("a.txt", "x\ta\ny\tb\n")).notes[0]
    assert read_table(write_file("b.txt", "x\ta\nyb\n")).notes == []


@pytest.mark.parametrize("content", [b"\x00\x01\x02\xff", b"%PDF-1.7\n\xe2\xe3", b"\xd0\xcf\x11\xe0\xa1\xb1"])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.txt", "a.conll", "a.xyz"])
def test_binary_files_are_refused(write_file, error_of, name, content):
    message = error_of(write_file(name, content))
    assert any(
        problem in message for problem in ("not valid UTF-8", "unknown file type", "a PDF document", "an old Excel")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "is a pointer of Git LFS"),
        ("<!DOCTYPE html>\n<html></html>", "is a web page"),
        (b"PK\x03\x04 word/document.xml", "is an Office document or a zip archive"),
    ],
)
def test_files_of_other_kinds_are_named(write_file, error_of, content, message):
    assert message in error_of(write_file("a.csv", content))
