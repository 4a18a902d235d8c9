"""Typed JSON files: tolerant of new keys, strict about the rest, and one error for every kind of damage."""

import json

import pytest

from ft_toolkit.core.errors import RunFolderError
from ft_toolkit.core.json_records import SCHEMA_VERSION, FileRecord, Record, read_objects, read_record, write_record


class Point(Record):
    """A record inside a file."""

    x: float
    note: str | None = None


class Points(FileRecord):
    """A whole file."""

    points: list[Point]


def test_a_file_reads_back_with_the_keys_that_it_had(tmp_path):
    path = tmp_path / "points.json"
    write_record(path, Points(points=[Point(x=1), Point(x=2.5, note="a")]))
    written = json.loads(path.read_text())
    assert written == {"schema_version": SCHEMA_VERSION, "points": [{"x": 1}, {"x": 2.5, "note": "a"}]}
    assert read_record(path, Points).as_json() == written


def test_unknown_keys_are_kept(tmp_path):
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": [{"x": 1, "y": [2]}], "new": {"a": 1}}))
    assert read_record(path, Points).as_json() == {
        "schema_version": 1, "points": [{"x": 1, "y": [2]}], "new": {"a": 1}
    }  # fmt: skip


def test_records_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Point(x=1).x = 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b'{"points": [', "not valid JSON at line 1, column 13 (Expecting value)"),
        (b"\xff\xfe{", "not UTF-8 text (byte 0)"),
        (b"[1]", "expected a JSON object, found a list"),
        (b"null", "expected a JSON object, found null"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"points": [{"x": NaN}]}', "not valid JSON (NaN is not a JSON number)"),
        (b'{"points": [{"x": %s}]}' % (b"9" * 5000), "not valid JSON (Exceeds the limit"),
        (b"{}", "key 'points' is missing"),
        (b'{"points": {}}', "key 'points': expected a list, found an object"),
        (b'{"points": [{"x": "1"}]}', """key 'points.0.x': expected a number, found "1\""""),
        (b'{"points": [{}, {"x": true}]}', "key 'points.0.x' is missing (and 1 more problem)"),
        (b'{"points": [{"x": 1e999}]}', "key 'points.0.x': expected a finite number"),
        (b'{"points": [], "schema_version": "2"}', "key 'schema_version': expected a whole number"),
    ],
)
def test_a_damaged_or_foreign_file_is_one_line_of_error(tmp_path, content, problem):
    path = tmp_path / "points.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError) as raised:
        read_record(path, Points)
    message = str(raised.value)
    assert message.startswith(f"{path}: {problem}")
    assert message.endswith(". Restore the file from a copy, or repeat the run")
    assert "\n" not in message


def test_a_file_of_a_newer_major_version_is_refused(tmp_path):
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": "in another form", "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(RunFolderError, match=r"schema_version 2, .* reads up to 1\. Upgrade with: pip install"):
        read_record(path, Points)


def test_a_missing_file_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(RunFolderError, match="file not found"):
        read_record(tmp_path / "points.json", Points)
    (tmp_path / "points.json").mkdir()
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_record(tmp_path / "points.json", Points)


def test_json_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_objects(path) == []
    path.write_text('{"text": "a\u2028b"}\n\n{"text": "c"}\n', encoding="utf-8")
    assert read_objects(path) == [{"text": "a\u2028b"}, {"text": "c"}]
    for content, problem in (
        ('{"a": 1}\n{"b"', "not valid JSON on line 2"),
        ("{}\n3\n", "expected a JSON object on line 2, found 3"),
    ):
        path.write_text(content)
        with pytest.raises(RunFolderError, match=problem):
            read_objects(path)
