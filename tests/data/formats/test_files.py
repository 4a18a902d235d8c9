"""Readers on good files and on bad ones; every refusal names the file and, where there is one, the line."""

import csv
import json
import os
import re

import pyarrow
import pyarrow.parquet
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.files import READERS, check_file, named, read_file, read_hub

ROWS = [{"text": "ein Satz", "label": "a"}, {"text": 'with "quotes", a comma\nand a second line', "label": "b"}]


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path):
    """Return the message with which a file is refused, its folder cut off."""
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert str(path) in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_csv_with_quotes_commas_and_texts_that_span_lines(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    assert read_file(path) == ROWS


def test_tsv_takes_quotation_marks_as_they_are(write):
    path = write("rows.tsv", 'text\tlabel\n"Unfinished quote\ta\nsays "no, no"\tb\n')
    assert read_file(path) == [
        {"text": '"Unfinished quote', "label": "a"},
        {"text": 'says "no, no"', "label": "b"},
    ]


def test_json_as_a_list_or_under_data(write):
    assert read_file(write("rows.json", json.dumps(ROWS))) == ROWS
    assert read_file(write("under.json", json.dumps({"version": 1, "data": ROWS}))) == ROWS


def squad(answers):
    """Return two questions on one paragraph, in SQuAD's nesting; `answers` stands in the second."""
    first = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    second = {"question": "Where?", **answers}
    return {
        "version": "v2.0",
        "data": [{"title": "T", "paragraphs": [{"context": "Ada slept.", "qas": [first, second]}]}],
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"answers": [], "is_impossible": True, "plausible_answers": [{"text": "Ada"}]}, ([], True)),
        ({"answers": [{"text": "slept", "answer_start": 4}]}, ([{"text": "slept", "answer_start": 4}], False)),
        ({"answers": []}, ([], True)),
        ({}, (None, None)),
    ],
    ids=["v2", "v1.1", "empty", "without answers"],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["version and data", "list"])
def test_squad_files_give_a_row_per_question(write, answers, expected, wrapped):
    document = squad(answers)
    rows = read_file(write("a.json", json.dumps(document if wrapped else document["data"])))
    common = {"title": "T", "context": "Ada slept."}
    assert rows == [
        {
            "id": "q1",
            **common,
            "question": "Who?",
            "answers": [{"text": "Ada", "answer_start": 0}],
            "is_impossible": False,
        },
        {"id": "2", **common, "question": "Where?", "answers": expected[0], "is_impossible": expected[1]},
    ]


def test_jsonl_with_blank_lines_and_line_separators_inside_texts(write):
    rows = [*ROWS, {"text": "a\u2028b\x85c", "label": ["x", "y"]}]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert read_file(write("rows.jsonl", text + "\n")) == rows


def test_parquet_keeps_lists_and_nulls(tmp_path):
    rows = [{"text": "x", "label": ["a", "b"], "n": 1}, {"text": "y", "label": None, "n": 2}]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read_file(path) == rows


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text,label\nx,a\n"),
        ("a.tsv", "text\tlabel\nx\ta\n"),
        ("a.json", '[{"text": "x", "label": "a"}]'),
        ("a.jsonl", '{"text": "x", "label": "a"}\n'),
        ("A.CSV", "text,label\r\nx,a\r\n"),
        ("a.csv", "text,label\n\nx,a\n\n"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_byte_order_marks_line_ends_and_capital_endings_do_not_matter(write, name, text, mark):
    assert read_file(write(name, mark + text)) == [{"text": "x", "label": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: empty; a header line with column names is needed"),
        ("a.csv", "text,label\n", "a.csv: no rows"),
        ("a.csv", "text,text\nx,y\n", "a.csv:1: a column name stands twice: text, text"),
        (
            "a.csv",
            "text,label\nx,a\nwell, no,b\n",
            "a.csv:3: 3 fields where the header has 2 (text, label); quote texts that hold a comma",
        ),
        ("a.csv", 'text,label\n"two\nlines",a\nshort\n', "a.csv:4: 1 fields where the header has 2"),
        ("a.csv", 'text,label\nx,a\n"never closed,b\n', "a.csv:3: unexpected end of data"),
        ("a.csv", 'text,label\n"x" y,a\n', "a.csv:2: ',' expected after '\"'"),
        (
            "a.tsv",
            "text\tlabel\nx\ta\tb\n",
            "a.tsv:2: 3 fields where the header has 2 (text, label); a text may not hold a tab",
        ),
        ("a.json", '[\n{"text": "x"},\n{"text": }]', "a.json:3: not valid JSON: Expecting value"),
        ("a.json", '"text"', "a.json: a list of objects is needed, or an object with such a list under 'data'"),
        ("a.json", '{"rows": []}', "a.json: a list of objects is needed"),
        ("a.json", "[1, 2]", "a.json: a list of objects is needed"),
        ("a.json", "[]", "a.json: no rows"),
        ("a.json", '[{"paragraphs": 1}]', "a.json: data[0].paragraphs: a list of objects is needed"),
        (
            "a.json",
            '{"data": [{"paragraphs": []}, {"paragraphs": [{"text": "x", "qas": []}]}]}',
            "a.json: data[1].paragraphs[0]: a paragraph needs 'context' and 'qas'; found text, qas",
        ),
        (
            "a.json",
            '[{"paragraphs": [{"context": "x", "qas": ["y"]}]}]',
            "a.json: data[0].paragraphs[0].qas: a list of objects is needed",
        ),
        (
            "a.json",
            '[{"paragraphs": [{"context": "x", "qas": [{"id": "q"}]}]}]',
            "a.json: data[0].paragraphs[0].qas[0]: no 'question'; found id",
        ),
        ("a.json", '[{"paragraphs": []}]', "a.json: no rows"),
        ("a.jsonl", '{"text": "x"}\n\n{"text": "y"\n{"text": "z"}\n', "a.jsonl:3: not valid JSON"),
        ("a.jsonl", '{"text": "x"}\n["y"]\n', "a.jsonl:2: found list; one JSON object per line is needed"),
        ("a.jsonl", "\n\n", "a.jsonl: no rows"),
        ("a.csv", b"text,label\ncaf\xe9,a\n", "a.csv:2: not UTF-8 text; save the file as UTF-8"),
        ("a.tsv", "text\tlabel\nx\ta\n".encode("utf-16"), "a.tsv:1: not UTF-8 text"),
        ("a.json", b'[\n{"text": "caf\xe9"}]', "a.json:2: not UTF-8 text"),
        ("a.parquet", "text,label\nx,a\n", "a.parquet: not a readable parquet file"),
        (
            "a.conll",
            "Anna\tB-PER\n\nlives\n",
            "a.conll:3: one column; a word and, in the last column, its tag are needed",
        ),
        ("a.conll", "-DOCSTART- O\n\n", "a.conll: no rows"),
        (
            "a.text",
            "x",
            "a.text: unknown file type '.text'; allowed: .csv, .tsv, .json, .jsonl, .parquet, .conll, .txt",
        ),
        ("a", "x", "a: unknown file type ''; allowed: .csv"),
    ],
)
def test_bad_files_are_refused_with_place_and_remedy(write, name, content, message):
    assert refusal(write(name, content)).startswith(message)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_the_line_of_a_bad_byte_is_right_far_into_a_file(write, ending):
    """Buffered reading reports places within its buffer of 8 KiB; ours is the line in the file."""
    row = (
        b'{"text": "xxxxxxxxxxxxxxxxxxxxxxxxxx"}\n'
        if ending == ".jsonl"
        else b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,a\n"
    )
    content = (b"" if ending == ".jsonl" else b"text,label\n") + row * 2000 + row.replace(b"x", b"\xff") + row
    line = 2001 if ending == ".jsonl" else 2002
    assert refusal(write(f"a{ending}", content)).startswith(f"a{ending}:{line}: not UTF-8")


@pytest.mark.parametrize("damage", ["cut", "footer", "text", "no parquet"])
def test_a_damaged_parquet_file_is_refused(tmp_path, damage):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "footer": whole[:-40] + b"\xff" * 30 + whole[-10:],
        "text": whole.replace(b"ein Satz", b"ein \xff\xfftz"),
        "no parquet": b"PAR1",
    }
    path.write_bytes(damaged[damage])
    assert refusal(path).startswith("rows.parquet: not a readable parquet file: ")


def test_a_missing_file_says_where_it_looked_and_what_is_near(write):
    path = write("train.csv", "text,label\nx,a\n")
    with pytest.raises(DataError, match=re.escape("no such file (looked in")) as caught:
        check_file(path.with_name("trian.csv"))
    assert str(caught.value).endswith(f"Did you mean '{path}'?")
    with pytest.raises(DataError, match=r"no such file .*nowhere\)\.$"):
        check_file(path.parent / "nowhere" / "x.csv")
    path.with_name("folder.csv").mkdir()
    with pytest.raises(DataError, match="no such file"):
        check_file(path.with_name("folder.csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused_in_words(write):
    path = write("a.csv", "text,label\nx,a\n")
    path.chmod(0)
    assert refusal(path) == "a.csv: cannot be read: Permission denied"


def test_a_very_long_text_is_read(write):
    path = write("a.csv", f"text,label\n{'word ' * 100_000},a\n")
    assert len(read_file(path)[0]["text"]) == 500_000


def test_every_reader_is_in_these_tests():
    assert set(READERS) == {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".conll", ".txt"}


@pytest.mark.parametrize(
    "text",
    [
        "Anna\tB-PER\nlives\tO\n\n#\tO\nRome\tB-LOC\n",
        "Anna B-PER\nlives O\n\n# O\nRome B-LOC",
        "-DOCSTART- -X- O O\n\nAnna NNP I-NP B-PER\nlives VBZ I-VP O\n\n\n# X X O\nRome NNP I-NP B-LOC\n\n",
        "\ufeff# sent_id = 1\r\nAnna\tB-PER\r\nlives\tO\r\n \t\r\n# id 2 domain=en\r\n#\tO\r\nRome\tB-LOC\r\n",
        "Anna\tB-PER \n lives\t\tO\t\n\t\n# \tO\nRome \tB-LOC\n\t\n",
    ],
    ids=["tabs", "spaces", "four columns", "comments", "stray white space"],
)
def test_conll_in_its_varieties(write, text):
    assert read_file(write("a.conll", text)) == [
        {"tokens": ["Anna", "lives"], "tags": ["B-PER", "O"]},
        {"tokens": ["#", "Rome"], "tags": ["O", "B-LOC"]},
    ]


def test_conll_keeps_words_that_look_like_white_space_and_reads_words_alone(write):
    assert read_file(write("a.conll", "\u00a0\tO\n\u2028\tB-X\n")) == [
        {"tokens": ["\u00a0", "\u2028"], "tags": ["O", "B-X"]}
    ]
    assert read_file(write("b.conll", "Anna\nlives\n\nRome\n")) == [{"tokens": ["Anna", "lives"]}, {"tokens": ["Rome"]}]


def test_class_labels_of_the_hub_become_names():
    """The features of data sets are objects of their own; no download is needed to make some."""
    import datasets

    tags = datasets.ClassLabel(names=["O", "B-X"])
    assert named(1, tags) == "B-X" and named(-1, tags) is None and named(None, tags) is None
    for feature in (datasets.Sequence(tags), datasets.List(tags), datasets.LargeList(tags)):
        assert named([0, 1, -1], feature) == ["O", "B-X", None] and named(None, feature) is None
    assert named([3, 4], datasets.Sequence(datasets.Value("int64"))) == [3, 4]
    assert named("x", datasets.Value("string")) == "x"


def test_the_hub_out_of_reach_is_refused_with_a_way_out():
    """The tests run with HF_HUB_OFFLINE (see conftest.py), so nothing is asked."""
    with pytest.raises(DataError, match=r"'nobody/nothing' \(split train, revision main\) cannot be loaded") as caught:
        read_hub("nobody/nothing", None, None, "train")
    assert str(caught.value).endswith("Offline, give local files: data.train=FILE data.validation=FILE")
    assert "\n" not in str(caught.value)


def test_a_text_file_has_a_row_per_line_that_is_not_blank(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"\xef\xbb\xbf = A heading = \r\n\n  \nfirst\x0csecond\xc2\x85 \nlast")
    assert read_file(path) == [{"text": " = A heading = "}, {"text": "first\x0csecond\x85 "}, {"text": "last"}]
    path.write_text("\n \n")
    with pytest.raises(DataError, match="no rows"):
        read_file(path)
