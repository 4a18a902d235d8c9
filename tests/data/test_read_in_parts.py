"""Long files are read in parts, and give the same rows, notes and errors as rows in memory."""

import bz2
import csv
import datetime
import gzip
import hashlib
import json
import lzma
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core import cache
from ft_toolkit.core.counted_notes import CountedNote, NoteSum
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data import row_cache, row_streams, stored_rows
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.row_streams import open_stream
from ft_toolkit.data.seen_rows import hash_text, input_hash
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_rows import StoredRows
from ft_toolkit.data.streamed_rows import stream_table
from ft_toolkit.data.unpacking import count_bytes
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task
from ft_toolkit.tasks.question_answering import Settings as QuestionSettings
from ft_toolkit.tasks.text_classification import Settings as ClassSettings

TASKS = find_tasks()
CLASSES = TASKS["text_classification"]
MULTI = ClassSettings(problem_type="multi_label_classification")
NUMBERS = ClassSettings(problem_type="regression")
N = 23
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read files in parts of five rows; the cache is in a folder of the test."""
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    monkeypatch.setattr(stored_rows, "PART", 5)


def labelled(*labels: Any) -> list[dict[str, Any]]:
    """Return rows with these labels in turn."""
    return [{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(N)]


Load = Callable[..., tuple[Any, Any]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load rows in memory and in parts; return both results, or the messages of both errors."""

    def load_from(path: str, task: Task, settings: Any, keep: tuple[str, ...], section: dict[str, Any]) -> Any:
        values = {"train": path, "validation_fraction": 0.3, **section}
        if values.get("validation"):
            values["validation_fraction"] = None
        try:
            return load_data(DataSection(**values), task, settings, keep)
        except UsageError as error:
            return str(error)

    def load(
        rows: list[dict[str, Any]],
        task: Task = CLASSES,
        settings: Any = None,
        *,
        name: str = "train.jsonl",
        keep: tuple[str, ...] = (),
        **section: Any,
    ) -> tuple[Any, Any]:
        settings = task_settings(task) if settings is None else settings
        path = write(tmp_path / name, rows)
        with monkeypatch.context() as patch:
            patch.setattr(row_cache, "MIN_BYTES", 10**9)
            patch.setattr(row_streams, "MIN_BYTES", 10**9)
            in_memory = load_from(path, task, settings, keep, section)
        monkeypatch.setattr(row_cache, "MIN_BYTES", 1)
        monkeypatch.setattr(row_streams, "MIN_BYTES", 1)
        in_parts = load_from(path, task, settings, keep, section)
        if isinstance(in_parts, LoadedData):
            assert (tmp_path / "cache" / "scratch").exists() == (task.answer_form is not None)
        return in_memory, in_parts

    return load


def task_settings(task: Task) -> Any:
    """Return the default settings of a task."""
    import importlib

    return importlib.import_module(f"ft_toolkit.tasks.{task.name}").Settings()


def packed(content: bytes, suffix: str) -> bytes:
    """Return a content compressed as the suffix says; zstd has two frames."""
    if suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        middle = len(content) // 2
        return b"".join(zstandard.compress(part) for part in (content[:middle], content[middle:]))
    if suffix == ".xz":
        return lzma.compress(content, preset=0)
    return gzip.compress(content) if suffix == ".gz" else bz2.compress(content)


def pack(path: Path) -> Path:
    """Compress a file whose name ends like a compressed file."""
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
    elif path.suffix in COMPRESSED:
        path.write_bytes(packed(content, path.suffix))
    return path


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix in COMPRESSED:
        write(path.with_suffix(""), rows)
        return str(pack(path.with_suffix("").rename(path)))
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".txt":
        path.write_text("".join(f"{row['text']}\r\n" for row in rows), encoding="utf-8-sig")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def assert_equal(in_memory: Any, in_parts: Any) -> None:
    """Compare two results of `load`; the order of notes may differ."""
    if isinstance(in_memory, str) or isinstance(in_parts, str):
        assert in_parts == in_memory
        return
    assert isinstance(in_parts, LoadedData)
    assert isinstance(in_parts.splits["train"], StoredRows)
    assert {name: list(rows) for name, rows in in_parts.splits.items()} == {
        name: list(rows) for name, rows in in_memory.splits.items()
    }
    assert in_parts.fingerprint == in_memory.fingerprint
    assert sorted(in_parts.notes) == sorted(in_memory.notes)
    assert in_parts.groups == in_memory.groups
    assert in_parts.labels == in_memory.labels
    assert list(in_parts.label_rows or []) == list(in_memory.label_rows or [])
    assert list(in_parts.skipped) == list(in_memory.skipped)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        (None, ["a", "b"]),
        (None, [" a", "b ", "a", "B"]),
        (None, [*["1"] * 11, "2", "nan"]),  # numbers, so that nan is a missing label
        (None, [*["x"] * 11, "y", "nan"]),  # names, so that nan is a name
        (None, [1.0, 2.0, "3"]),
        (None, [*[1.0] * 13, "x"]),
        (None, ["a", None, "b", ""]),
        (None, ["a|b", "b|c", "a"]),
        (NUMBERS, [1, "2.5", "nan", 0.25]),
        (MULTI, [[1, 0, 1], [0, 1, 1], [0, 0, 0]]),
        (MULTI.model_copy(update={"labels": ["x", "y", "z"]}), [[1, 0, 1], [0, 1, 1], "0,0,1"]),
        (MULTI, ["a|b", "a", "", "['a', 'c']", '["b"]']),
        (MULTI, [["1", "0"], ["2"]]),
        (MULTI, ["a,b", "a"]),
        (MULTI, [[1, 0], *[[0, 1]] * 14, "x"]),
    ],
)
def test_labels_are_read_as_in_memory(settings: Any, labels: list[Any], load: Load) -> None:
    assert_equal(*load(labelled(*labels), CLASSES, settings))


@pytest.mark.parametrize(
    "name",
    [
        *("train.jsonl", "train.csv", "train.tsv", "train.parquet"),
        *("train.jsonl.gz", "train.csv.bz2", "train.tsv.xz", "train.jsonl.zst", "train.csv.zip"),
    ],
)
def test_every_format_and_its_kept_columns(name: str, load: Load) -> None:
    rows = [{**row, "source": f"s{i % 3}"} for i, row in enumerate(labelled("a", "b", " c"))]
    assert_equal(*load(rows, name=name, keep=("source",)))
    assert_equal(*load(rows, name=name, group="source"))


def test_ids_are_used_if_they_differ(load: Load) -> None:
    rows = [{"id": f"r{i}", **row} for i, row in enumerate(labelled("a", "b"))]
    assert_equal(*load(rows))
    rows[20]["id"] = "r3"
    in_memory, in_parts = load(rows)
    assert in_parts.splits["train"][0]["id"] == "1"
    assert_equal(in_memory, in_parts)


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize(
    ("settings", "bad"),
    [
        (None, {7: {"text": 3}, 19: {"label": ["x"]}}),
        (None, {0: {"text": None}, 1: {"text": None}}),
        (None, {i: {"text": None} for i in range(0, N, 2)}),
        (MULTI, {9: {"label": "[a"}, 12: {"label": 5}}),
    ],
)
def test_bad_rows_have_the_same_names(settings: Any, bad: dict[int, dict[str, Any]], policy: str, load: Load) -> None:
    labels = [["a"], ["b", "a"]] if settings else ["a", "b"]
    rows = [{**row, "id": f"n{i}", **bad.get(i, {})} for i, row in enumerate(labelled(*labels))]
    assert_equal(*load(rows, CLASSES, settings, on_bad_rows=policy))


def test_numbers_without_a_name_and_values_without_a_form(load: Load) -> None:
    rows = labelled(0, 1)
    assert_equal(*load(rows, reading={"label_names": ["no", "yes"]}))
    rows[17]["label"] = 7
    in_memory, in_parts = load(rows, reading={"label_names": ["no", "yes"]})
    assert "row 18" in in_parts
    assert_equal(in_memory, in_parts)


def questions() -> list[dict[str, Any]]:
    rows = [
        {
            "question": "who?",
            "context": f"It was \U0001f600 Ada {i}.",
            "answers": {"text": ["Ada"], "answer_start": [9 if i % 5 else 10]},
        }
        for i in range(N)
    ]
    return [{**row, "answers": json.dumps(row["answers"])} if i in (3, 21) else row for i, row in enumerate(rows)]


def functions() -> list[dict[str, Any]]:
    """Return functions; some are not Python, have a line to the left, or have tests that call nothing."""
    return [
        {
            "prompt": f"def f{i}(x{':' if i in (0, 17) else '):'}",
            "body": "\n    if x:\n        y = 1\n  \n    return x" if i % 3 else "        return 1\n    # end",
            "tests": None if i % 2 else "def check(f):\n    assert f(1)",
        }
        for i in range(N)
    ]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("language_modelling", [{"text": " " if i in (0, 4, 5, 6, 7, 8, 9, 22) else f"text {i}"} for i in range(N)]),
        ("language_modelling", [{"text": " "}] * N),
        ("text_generation", [{"text": " " if i in (2, 9) else f"text {i}"} for i in range(N)]),
        ("text_generation", [{"prompt": "a", "completion": f"b {i}"} for i in range(N)]),
        ("text_generation", [{"text": "a"} if i < 20 else {"prompt": "a", "completion": "b"} for i in range(N)]),
        ("summarization", [{"document": f"d {i}", "summary": "\u3042" if i % 9 == 0 else "s"} for i in range(N)]),
        ("summarization", [{"document": f"d {i}", "summary": str([f"s {i}", "t"])} for i in range(N)]),
        ("translation", [{"source": f"a {i}", "target": f"b {i}"} for i in range(N)]),
        ("dialogue", [{"turns": [f"hello {i}", "hi"]} for i in range(N)]),
        ("question_answering", questions()),
        ("generative_question_answering", [{"question": f"q {i}", "answers": ["a"] * (i % 4)} for i in range(N)]),
        ("code_generation", functions()),
    ],
)
def test_every_task_that_reads_parts(name: str, rows: list[dict[str, Any]], load: Load) -> None:
    task = TASKS[name]
    assert task.answer_form is not None
    settings = QuestionSettings() if name == "question_answering" else None
    in_memory, in_parts = load(rows, task, settings)
    if isinstance(in_memory, str) and "some rows have a text" in in_memory:
        assert "some rows have a text, others a prompt" in in_parts  # the row is another one of the other form
        return
    assert_equal(in_memory, in_parts)


def test_every_task_of_the_package_reads_parts() -> None:
    assert [name for name, task in TASKS.items() if task.answer_form is None] == []


def test_rows_of_tasks_without_forms_of_answers_are_read_at_once(load: Load) -> None:
    task = replace(TASKS["ner"], answer_form=None)
    rows = [{"tokens": ["Ada", "wrote"], "tags": ["B-PER", "O"]} for _ in range(N)]
    assert_equal(*load(rows, task))


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz", "train.txt.zst"])
def test_texts(name: str, load: Load) -> None:
    rows = [{"text": " " if i in (2, 9) else f"\u00e9\u2028 {i}"} for i in range(N)]
    in_memory, in_parts = load(rows, TASKS["language_modelling"], name=name)
    assert len(in_memory.splits["train"]) + len(in_memory.splits["validation"]) == N - 2
    assert_equal(in_memory, in_parts)


def test_a_file_in_an_archive(load: Load, tmp_path: Path) -> None:
    rows = labelled("a", "b")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for split in ("train", "validation"):
            archive.write(write(tmp_path / f"{split}.jsonl", rows), f"{split}.jsonl")
    in_memory, in_parts = load(rows, name="other.csv", validation=str(tmp_path / "all.zip" / "validation.jsonl"))
    assert_equal(in_memory, in_parts)
    assert isinstance(in_parts.splits["validation"], StoredRows)


def test_the_size_of_a_compressed_file_is_that_of_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'{"text": "a", "label": "x"}\n' * 1000
    files = [tmp_path / f"{number}.jsonl.gz" for number in range(2)]
    for file in files:
        file.write_bytes(gzip.compress(content))
    assert files[0].stat().st_size < 1000 < len(content)
    assert count_bytes(files, 10**9) == 2 * len(content)
    for least, pattern, is_long in (
        (len(content), "0.jsonl.gz", True),
        (len(content) + 1, "0.jsonl.gz", False),
        (len(content) + 1, "*.jsonl.gz", True),  # the files of a pattern count together
    ):
        monkeypatch.setattr(row_streams, "MIN_BYTES", least)
        assert (stream_table(tmp_path / pattern) is not None) == is_long
    assert open_stream(files[0], min_bytes=len(content)) is not None
    assert open_stream(files[0], min_bytes=len(content) + 1) is None


@pytest.mark.parametrize("name", ["text_classification", "language_modelling"])
@pytest.mark.parametrize(
    "section",
    [
        {},
        {"group": "user"},
        {"test_fraction": 0.2},
        {"test_fraction": 0.2, "group": "user"},
        {"test_fraction": 0.2, "validation_fraction": None, "validation": "other.jsonl"},
    ],
)
@pytest.mark.parametrize("ids", [True, False])
def test_folds(name: str, section: dict[str, Any], ids: bool, load: Load, tmp_path: Path) -> None:
    rows = [{**row, "user": f"u{i // 2}"} for i, row in enumerate(labelled("a", "b", "b", None))]
    rows = [{"id": f"n{i}", **row} for i, row in enumerate(rows)] if ids else rows
    write(tmp_path / "other.jsonl", [{"text": f"other {i}", "label": "a"} for i in range(3)])
    section = {key: str(tmp_path / value) if key == "validation" else value for key, value in section.items()}
    tested = []
    for number in (1, 2, 3):
        in_memory, in_parts = load(rows, TASKS[name], fold=f"{number}/3", **section)
        assert_equal(in_memory, in_parts)
        assert isinstance(in_parts.splits["test"], StoredRows)
        tested += [row["text"] for row in in_parts.splits["test"]]
    assert len(set(tested)) == len(tested) > 10


def test_folds_that_cannot_be_made(load: Load) -> None:
    for section in ({"fold": "1/30"}, {"fold": "1/2", "group": "user"}, {"fold": "1/2", "test_fraction": 0.0001}):
        rows = [{**row, "user": "u"} for row in labelled("a", "b")]
        in_memory, in_parts = load(rows, TASKS["language_modelling"], **section)
        assert isinstance(in_memory, str) or section.get("group")
        assert_equal(in_memory, in_parts)


def decision(rows: list[dict[str, Any]], number: int, kind: str, split: str = "train", **values: str) -> dict[str, Any]:
    """Return a decision on a row, by its number from 1."""
    key = hash_text(input_hash(rows[number - 1], CLASSES))
    row_id = rows[number - 1].get("id", str(number))
    return {"split": split, "row": row_id, "hash": key, "decision": kind, **values}


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("fold", [None, "2/3"])
def test_patches(ids: bool, fold: str | None, load: Load, tmp_path: Path) -> None:
    rows = labelled("a", "b", "c", None)
    rows = [{"id": f"n{i}", **row} for i, row in enumerate(rows)] if ids else rows
    patch = tmp_path / "patch.json"

    def patched(*decisions: dict[str, Any]) -> tuple[Any, Any]:
        patch.write_text(json.dumps({"decisions": decisions}), encoding="utf-8")
        in_memory, in_parts = load(rows, patch=str(patch), fold=fold)
        assert_equal(in_memory, in_parts)
        return in_memory, in_parts

    all_kinds = [
        decision(rows, 1, "drop"),
        *(decision(rows, number, "relabel", label="c") for number in (2, 5, 6, 10, 13, 14, 22)),
        decision(rows, 3, "keep"),
        decision(rows, 21, "drop"),
    ]
    in_memory, in_parts = patched(*all_kinds)
    assert in_parts.patch == in_memory.patch and sum(in_parts.patch.relabelled.values()) == 7
    assert len(in_parts.patch.relabelled) > 1  # also held-out rows
    for wrong in (
        decision(rows, 4, "drop"),  # it has no label and is left out
        {**decision(rows, 5, "drop"), "hash": "0" * 16},
        decision(rows, 5, "relabel", label="d"),
        decision(rows, 5, "drop", split="validation"),
    ):
        message, _ = patched(decision(rows, 1, "drop"), wrong)
        assert "1 of 2 decisions do not fit the rows" in message


def test_a_patch_of_a_file_of_its_own(load: Load, tmp_path: Path) -> None:
    rows, others = labelled("a", "b"), [{**row, "text": f"other {row['text']}"} for row in labelled("a", "b")]
    section = {"validation": write(tmp_path / "validation.jsonl", others), "patch": str(tmp_path / "patch.json")}
    for decisions in (
        [decision(others, 2, "drop", "validation"), decision(rows, 2, "relabel", label="a")],
        [decision(others, number, "drop", "validation") for number in range(1, N + 1)],
    ):
        (tmp_path / "patch.json").write_text(json.dumps({"decisions": decisions}), encoding="utf-8")
        in_memory, in_parts = load(rows, **section)
        assert_equal(in_memory, in_parts)
    assert "drops all validation rows" in in_memory


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    "dates",
    [
        [f"2024-01-{1 + i * 7 % 28:02d}" for i in range(N)],
        [f"2024-01-{1 + i // 5:02d} 10:00" for i in range(N)],
        [f"2024-01-01T{i:02d}:30:00.25+{i % 5:02d}:30" for i in range(N)],
        ["0001-01-01T00:00:00+09:00", *["9999-12-31T23:59:59-09:00"] * 2, *["2024-01-01T00:00Z"] * (N - 3)],
        ["2024-01-01"] * N,
        [*["2024-01-01"] * 9, "yesterday", *["2024-01-02"] * 8, None, *["2024-01-02"] * 4],
        [*["2024-01-01"] * 9, "2024-01-01T00:00Z", *["2024-01-02"] * 13],
    ],
)
def test_dates(dates: list[Any], ids: bool, load: Load) -> None:
    rows = [{**row, "written": date} for row, date in zip(labelled("a", "b", "b", None), dates, strict=True)]
    rows = [{"id": f"n{i}", **row} for i, row in enumerate(rows)] if ids else rows
    assert_equal(*load(rows, time="written", test_fraction=0.2))
    assert_equal(*load(rows, time="written"))


def test_dates_of_rows_that_are_left_out(load: Load) -> None:
    rows = [{"text": " " if i in (0, 4, 5, 22) else f"text {i}", "at": f"2024-01-{N - i:02d}"} for i in range(N)]
    in_memory, in_parts = load(rows, TASKS["language_modelling"], time="at")
    assert in_memory.splits["validation"][0]["id"] == "2"
    assert_equal(in_memory, in_parts)
    rows = [{**row, "at": f"2024-01-{N - i:02d}"} for i, row in enumerate(labelled("a", "b"))]
    rows[3]["text"] = rows[9]["text"] = None
    in_memory, in_parts = load(rows, time="at", on_bad_rows="skip")
    assert len(in_parts.skipped) == 2
    assert_equal(in_memory, in_parts)
    assert_equal(*load(rows, time="written"))


def test_dates_of_a_parquet_file(load: Load) -> None:
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    rows = [{**row, "at": start + datetime.timedelta(hours=i * 5 % N)} for i, row in enumerate(labelled("a", "b"))]
    assert_equal(*load(rows, name="train.parquet", time="at"))
    rows = [{**row, "at": row["at"].date()} for row in rows]
    assert_equal(*load(rows, name="train.parquet", time="at"))


def test_several_files_are_one_split(load: Load, tmp_path: Path) -> None:
    rows = labelled("a", "b", "c")
    for number in range(3):
        write(tmp_path / f"part-{number}.jsonl", rows[number * 8 : number * 8 + 8])
    in_memory, in_parts = load(rows, name="other.jsonl", validation=str(tmp_path / "part-*.jsonl"))
    assert "3 files: part-0.jsonl" in str(in_parts.notes)
    assert_equal(in_memory, in_parts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a", "label": "x"}\n' * 40 + b"{\n", "a.jsonl:41: not valid JSON"),
        ("a.jsonl.gz", b'{"text": "a", "label": "x"}\n' * 40 + b"{\n", "a.jsonl.gz:41: not valid JSON"),
        ("a.csv", b"text,label\n" + b"a,x\n" * 40 + b"a\n", "a.csv:42: 1 fields"),
        ("a.csv.xz", b"text,label\n" + b"a,x\n" * 40 + b"a\n", "a.csv.xz:42: 1 fields"),
        ("a.parquet", b"PAR1 is not the whole file", "not a readable parquet file"),
    ],
)
def test_an_invalid_file_names_its_line(
    name: str, content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_streams, "MIN_BYTES", 1)
    monkeypatch.setattr(row_streams, "HEAD_BYTES", 100)
    monkeypatch.setattr(row_streams, "HEAD_ROWS", 2)
    (tmp_path / name).write_bytes(content)
    pack(tmp_path / name)
    with pytest.raises(DataError, match=message):
        load_data(DataSection(train=str(tmp_path / name), validation_fraction=0.3), CLASSES, ClassSettings())


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("kept", [0.1, 0.7])
def test_a_damaged_file_has_the_same_error(
    suffix: str, kept: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damage is within the beginning of the file, or behind it, where the file is read as a stream."""
    monkeypatch.setattr(row_streams, "HEAD_BYTES", 100_000)
    path = tmp_path / f"a.jsonl{suffix}"
    lines = [json.dumps({"text": hashlib.sha256(str(i).encode()).hexdigest(), "label": "x"}) for i in range(15_000)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    data = pack(path).read_bytes()
    middle = int(kept * len(data))
    end = b"?" * 100 + data[middle + 100 :] if suffix == ".zip" else b""  # a zip file has its directory at the end
    path.write_bytes(data[:middle] + end)
    errors = []
    for least in (10**9, 100_000):
        monkeypatch.setattr(row_streams, "MIN_BYTES", least)
        with pytest.raises(DataError) as caught:
            load_data(DataSection(train=str(path), validation_fraction=0.3), CLASSES, ClassSettings())
        errors.append(str(caught.value))
    assert errors[0] == errors[1] and re.search("damaged|cannot be read", errors[0])


def test_no_file_is_left_behind(load: Load, tmp_path: Path) -> None:
    load(labelled("a", "b"))
    assert list((tmp_path / "cache").rglob(".*")) == []
    assert list((tmp_path / "cache" / "scratch").iterdir()) == []


def test_counted_notes_are_added_up() -> None:
    def note(n: int) -> CountedNote:
        return CountedNote("blank", {"n": n}, lambda counts, n_rows: f"{counts['n']} of {n_rows}", 10)

    notes = NoteSum(ignored=[note(1)])
    for part in ([note(3), "same"], [note(1)], ["same", note(5)]):
        notes.add(part)
    assert notes.notes(30) == ["6 of 30", "same"]


def card(folder: Path, n_rows: int) -> str:
    """Write a data card for train.jsonl in a folder, with this number of rows."""
    facts = (
        "{source: {files: {train: train.jsonl}}, "
        f"splits: {{train: {{rows: {n_rows}}}}}, tasks: {{text_classification: {{columns: {{text: words}}}}}}}}"
    )
    (folder / "README.md").write_text(f"---\nlicense: mit\nft_toolkit: {facts}\n---\n\nA card.\n", encoding="utf-8")
    return str(folder)


def test_data_cards(load: Load, tmp_path: Path) -> None:
    rows = [{"words": row["text"], "label": row["label"]} for row in labelled("a", "b", None)]
    in_memory, in_parts = load(rows, train=None, card=card(tmp_path, N))
    assert_equal(in_memory, in_parts)
    assert isinstance(in_parts.splits["train"], StoredRows)
    in_memory, in_parts = load(rows, train=None, card=card(tmp_path, N + 1))
    assert in_memory == in_parts and f"train has {N} rows, but the card says {N + 1}" in in_parts


def test_data_sets_on_the_hub(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the name of a data set is read in its place."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)
    for name, rows, are_stored in (
        ("plain", labelled("a", "b", None), True),
        ("ids", [{"id": f"n{i}", **row} for i, row in enumerate(labelled("a", "b"))], True),
        ("annotated", [{"text": f"text {i}", "annotations": [{"result": []}]} for i in range(N)], False),
    ):
        folder = tmp_path / "alice" / name
        folder.mkdir(parents=True)
        write(folder / "train.parquet", rows)
        in_memory, in_parts = load(rows, train=None, hub=f"alice/{name}")
        assert_equal(in_memory, in_parts)
        assert not are_stored or isinstance(in_parts.splits["train"], StoredRows)
