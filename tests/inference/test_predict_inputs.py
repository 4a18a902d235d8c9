"""The rows that `ftk predict` reads from files and from standard input: the same lines as in training."""

import csv
import io
import sys

import pytest

from ft_toolkit.cli.arguments import parse_reading
from ft_toolkit.core.errors import UsageError
from ft_toolkit.inference.predict import read_rows
from ft_toolkit.inference.prediction_text import CsvTable
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks import find_tasks

LINES = ["first line\u2028still the first", "second\x0cstill\x85the second \x1c"]


@pytest.fixture
def piped(monkeypatch):
    """Return a function that makes bytes the standard input."""

    def pipe(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))

    return pipe


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_end_at_lf_crlf_and_cr_only(tmp_path, piped, end, mark):
    content = (mark + end.join([LINES[0], "", LINES[1], ""])).encode()
    (tmp_path / "a.txt").write_bytes(content)
    piped(content)
    assert read_rows(None, tmp_path / "a.txt") == read_rows(None, None) == LINES


def test_the_note_on_how_a_file_was_read_goes_to_standard_error(tmp_path, capsys):
    (tmp_path / "a.csv").write_bytes("text;n\ncaf\u00e9;1\n".encode("cp1252"))
    assert read_rows(None, tmp_path / "a.csv") == [{"text": "caf\u00e9", "n": "1"}]
    assert "a.csv: columns are separated by semicolons" in capsys.readouterr().err


def test_reading_options(tmp_path):
    (tmp_path / "a.csv").write_bytes("x|1\n".encode("utf-16"))
    reading = parse_reading(["delimiter=|", "column_names=[text, n]", "encoding=utf-16"])
    assert reading == Reading(delimiter="|", column_names=["text", "n"], encoding="utf-16")
    assert read_rows(None, tmp_path / "a.csv", reading) == [{"text": "x", "n": "1"}]
    assert parse_reading(None) is None
    with pytest.raises(UsageError, match=r"--reading delimitr=;: must be KEY=VALUE; .*Did you mean 'delimiter'"):
        parse_reading(["delimitr=;"])
    with pytest.raises(UsageError, match=r"--reading delimiter: found ';;'; must be one character"):
        parse_reading(["delimiter=;;"])


def test_no_cell_of_a_csv_file_is_a_formula():
    texts = [
        "=1+1",
        "+a",
        "-a",
        "@a",
        " =a",
        "\t=a",
        "\uff1da",
        "-1.5",
        "+2",
        "-3,5",
        "1e-3",
        "a=b",
        "",
        "'=a",
        "-",
        "-5%",
    ]
    rows = [{"=column": text, "other": index - 1} for index, text in enumerate(texts)]
    written = CsvTable(find_tasks()["text_classification"]).lines(rows, [{"label": text} for text in texts])
    header, *lines = csv.reader(io.StringIO(written, newline=""))
    assert header == ["'=column", "other", "predicted_label"]
    expected = [
        *("'=1+1", "'+a", "'-a", "'@a", "' =a", "'\t=a", "'\uff1da", "-1.5", "+2", "-3,5", "1e-3"),
        *("a=b", "", "'=a", "'-", "-5%"),
    ]
    assert [line[0] for line in lines] == [line[2] for line in lines] == expected
    assert [line[1] for line in lines] == [str(index - 1) for index in range(len(texts))]
