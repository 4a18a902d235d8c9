"""Copies of data files without personal data keep format, columns, spans and answers."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.local_files import read_table
from ft_toolkit.data.redact import redact_files

MAIL, PHONE = "jane.doe@example.org", "+49 30 1234567"
CARD, IBAN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"


@pytest.fixture
def redact(tmp_path: Path) -> Any:
    """Return a function that writes a file and returns the content of its redacted copy."""

    def run(name: str, content: str | bytes) -> str:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        redact_files([str(file)], tmp_path / "out")
        return (tmp_path / "out" / name).read_bytes().decode()

    return run


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "rows.csv",
            f'text,label\r\n"a ""b"", {MAIL}",x\r\nplain ,"y"\r\n{CARD},z\r\n',
            'text,label\r\n"a ""b"", [EMAIL]",x\r\nplain ,"y"\r\n[CARD],z\r\n',
        ),
        (
            "rows.csv",
            f'"id","text"\n"4111111111111111","call {PHONE}"\n',
            '"id","text"\n"4111111111111111","call [PHONE]"\n',
        ),
        ("rows.tsv", f'text\tlabel\nsay "{MAIL}"\tx\n', 'text\tlabel\nsay "[EMAIL]"\tx\n'),
        ("rows.txt", f"one {MAIL}\n\ntwo\r\nthree {IBAN}", "one [EMAIL]\n\ntwo\r\nthree [IBAN]"),
        ("rows.ft", f"__label__a write {MAIL}\n", "__label__a write [EMAIL]\n"),
        (
            "rows.jsonl",
            f'{{"text":  "é", "n": 1}}\n{{"text": "{MAIL}", "n": 2}}\n',
            '{"text":  "é", "n": 1}\n{"text": "[EMAIL]", "n": 2}\n',
        ),
        (
            "rows.conll",
            f"# text = {MAIL}\nmail\tO\n{MAIL}\tB-X\n\n+49\tB-Y\n30\tI-Y\n1234567\tI-Y\n",
            "# text = [EMAIL]\nmail\tO\n[EMAIL]\tB-X\n\n[PHONE]\tB-Y\n[PHONE]\tI-Y\n[PHONE]\tI-Y\n",
        ),
    ],
)
def test_text_files(redact: Any, name: str, content: str, expected: str) -> None:
    assert redact(name, content) == expected


def test_a_compressed_file_keeps_its_compression_and_encoding(redact: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(f"text\ncafé {MAIL}\n".encode("cp1252")))
    redact_files([str(tmp_path / "rows.csv.gz")], tmp_path / "out")
    assert gzip.decompress((tmp_path / "out/rows.csv.gz").read_bytes()).decode("cp1252") == "text\ncafé [EMAIL]\n"


@pytest.mark.parametrize(
    "spans",
    [
        [[8, 28, "MAIL"], [33, 36, "PLACE"]],
        [{"start": 8, "end": 28, "label": "MAIL"}, {"start": 33, "end": 36, "label": "PLACE", "text": "Ulm"}],
        [
            {"start_offset": 8, "end_offset": 28, "label": "MAIL"},
            {"start_offset": 33, "end_offset": 36, "label": "PLACE"},
        ],
    ],
)
def test_spans_move(redact: Any, spans: list[Any]) -> None:
    text = f"Write to {MAIL} in  Ulm".replace("to ", "", 1).replace("Write", "Write u")
    assert text[8:28] == MAIL and text[33:36] == "Ulm"
    row = json.loads(redact("rows.jsonl", json.dumps({"text": text, "entities": spans}) + "\n"))
    for span, expected in zip(row["entities"], ("[EMAIL]", "Ulm"), strict=True):
        start, end = list(span.values())[:2] if isinstance(span, dict) else span[:2]
        assert row["text"][start:end] == expected


def test_answers_move(redact: Any, tmp_path: Path) -> None:
    context = f"Her address is {MAIL}. She lives in Ulm, call {PHONE}."
    answers = [
        {"text": "Ulm", "answer_start": context.index("Ulm")},
        {"text": MAIL, "answer_start": context.index(MAIL)},
        {"text": f"is {MAIL}", "answer_start": context.index("is jane")},
    ]
    questions = [{"id": str(i), "question": f"Who is {MAIL}?", "answers": [answer]} for i, answer in enumerate(answers)]
    document = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    redact("squad.json", json.dumps(document))
    rows = read_table(tmp_path / "out/squad.json").rows
    assert [row["answers"][0]["text"] for row in rows] == ["Ulm", "[EMAIL]", "is [EMAIL]"]
    for row in rows:
        (answer,) = row["answers"]
        assert row["context"][answer["answer_start"] :].startswith(answer["text"])
        assert row["question"] == "Who is [EMAIL]?"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": MAIL, "entities": [[0, 8, "PERSON"]]}, "the span 0 to 8 begins or ends inside it"),
        ({"context": MAIL, "question": "q", "answer_start": 3}, "'answer_start' may be a position"),
        (
            {"context": f"Anna {MAIL}", "answers": {"text": ["Anna"], "answer_start": [1]}},
            "is not the position of 'Anna'",
        ),
        ({"text": MAIL, "spans": "[{'start': 0}]"}, "may have positions"),
    ],
)
def test_a_row_whose_spans_cannot_be_moved_is_refused(redact: Any, tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:2: the text has personal data") as caught:
        redact("rows.jsonl", json.dumps({"text": "fine"}) + "\n" + json.dumps(row) + "\n")
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [
        "rows.jsonl"
    ]  # no unfinished copy, which has the personal data


def test_a_number_over_several_records_and_a_binary_format_are_refused(redact: Any, tmp_path: Path) -> None:
    words = "sentence_id,words,labels\n1,Ulm,B-PLACE\n" + "".join(f"0,{word},O\n" for word in ("call", *PHONE.split()))
    with pytest.raises(DataError, match="over several records"):
        redact("rows.csv", words)
    with pytest.raises(UsageError, match="is a folder"):
        redact_files([str(tmp_path)], tmp_path / "out")


def test_parquet_keeps_its_schema(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": [MAIL, "b"], "n": pyarrow.array([1, None], pyarrow.int32())})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    (file,) = redact_files([str(tmp_path / "rows.parquet")], tmp_path / "out")
    copy = pyarrow.parquet.read_table(file.path)
    assert file.counts == {"[EMAIL]": 1}
    assert copy.schema == table.schema
    assert copy.to_pylist() == [{"text": "[EMAIL]", "n": 1}, {"text": "b", "n": None}]
