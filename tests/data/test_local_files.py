"""Reading data files of any format: encodings, suffixes, and files that are missing or unreadable."""

import os
import re

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import check_file, read_file


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
        ("a.text", "x", "a.text: unknown file type '.text'; allowed: .conll"),
        ("a", "x", "a: unknown file type ''; allowed: .conll"),
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
