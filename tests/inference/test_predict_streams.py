"""`ftk predict` on long files: the same predictions as from memory, and an interrupted command continues."""

import bz2
import csv
import gzip
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError, Interrupted, UsageError
from ft_toolkit.core.signals import StopSignal
from ft_toolkit.data import row_streams
from ft_toolkit.data.inputs import Inputs
from ft_toolkit.data.row_streams import RowStream, open_stream
from ft_toolkit.inference import model_folder
from ft_toolkit.inference import predict as module
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.inference.predict import Target, predict, read_rows
from ft_toolkit.recipe.reading import Reading

N = 50


@pytest.fixture
def finished() -> Path:
    """A finished run."""
    return Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run"


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat all files as long, and read parts of 16 rows."""
    monkeypatch.setattr(row_streams, "MIN_BYTES", 1)
    monkeypatch.setattr(module, "CHUNK", 16)


def write_rows(folder: Path, suffix: str) -> Path:
    if suffix.endswith((".gz", ".bz2")):
        path = write_rows(folder, suffix.rpartition(".")[0])
        compress = gzip.compress if suffix.endswith(".gz") else bz2.compress
        path.write_bytes(compress(path.read_bytes()))
        return path.rename(folder / f"rows{suffix}")
    path = folder / f"rows{suffix}"
    rows = [{"id": f"r{n}", "text": f"the lamp, {n} \u00e9 {'good' * (n % 3)}\u2028x"} for n in range(N)]
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif suffix == ".txt":
        path.write_text("\n\n".join(row["text"] for row in rows) + "\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text"])
            writer.writeheader()
            writer.writerows({**row, "text": row["text"] + "\nsecond line"} for row in rows)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt", ".jsonl.gz", ".csv.gz", ".txt.bz2"])
@pytest.mark.parametrize("output", [".jsonl", ".csv"])
def test_a_stream_gives_the_predictions_of_memory(
    suffix: str, output: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_rows(tmp_path, suffix)
    stream = read_rows(None, source)
    assert isinstance(stream, RowStream)
    predict(str(finished), stream, {}, Target(tmp_path / f"stream{output}", source))
    monkeypatch.setattr(row_streams, "MIN_BYTES", 10**9)
    rows = read_rows(None, source)
    assert isinstance(rows, list)
    predict(str(finished), rows, {}, Target(tmp_path / f"memory{output}", source))
    assert list(stream) == [row if isinstance(row, dict) else {"text": row} for row in rows]
    texts = [(tmp_path / f"{name}{output}").read_bytes() for name in ("stream", "memory")]
    assert len(rows) == N
    if output == ".jsonl":  # in other batches, the last digits may differ
        first, second = ([json.loads(line) for line in text.splitlines()] for text in texts)
        assert [record["label"] for record in first] == [record["label"] for record in second]
        assert [record["score"] for record in first] == pytest.approx([record["score"] for record in second], abs=1e-5)
    else:
        assert len(texts[0].splitlines()) == len(texts[1].splitlines())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class Stopping(LoadedModel):
    """A model whose process gets a signal before the part with the number `stop_at`."""

    stop_at = 0

    def stream(self, inputs: Inputs) -> Iterator[list[dict[str, Any]]]:
        type(self).stop_at -= 1
        if self.stop_at < 0:
            raise StopSignal(signal.SIGTERM)
        yield from super().stream(inputs)


@pytest.mark.parametrize(("suffix", "output"), [(".jsonl", ".jsonl"), (".jsonl", ".csv"), (".jsonl.gz", ".jsonl")])
def test_an_interrupted_command_goes_on(
    suffix: str,
    output: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write_rows(tmp_path, suffix)
    whole, target = tmp_path / f"whole{output}", tmp_path / f"target{output}"

    def command(output: Path, *, resume: bool = False, columns: dict[str, str] | None = None) -> None:
        rows = read_rows(None, source)
        predict(str(finished), rows, columns or {}, Target(output, source, resume))

    command(whole)
    with monkeypatch.context() as patch:
        patch.setattr(model_folder, "LoadedModel", Stopping)
        for resume, stop_at, kept in ((False, 2, 32), (True, 1, 48)):
            Stopping.stop_at = stop_at
            with pytest.raises(Interrupted, match=rf"{kept} rows are kept.*--resume"):
                command(target, resume=resume)
            assert not target.exists()
    with (tmp_path / f".target{output}.new").open("ab") as file:
        file.write(b'{"half a li')  # written after the last part that was recorded
    with pytest.raises(UsageError, match="--column changed"):
        command(target, resume=True, columns={"text": "id"})
    command(target, resume=True)
    assert "48 rows are already predicted; continuing with row 49" in capsys.readouterr().err
    assert target.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_another_input_is_not_continued(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = write_rows(tmp_path, ".txt"), tmp_path / "out.jsonl"
    monkeypatch.setattr(model_folder, "LoadedModel", Stopping)
    Stopping.stop_at = 1
    with pytest.raises(Interrupted):
        predict(str(finished), read_rows(None, source), {}, Target(target, source))
    monkeypatch.undo()
    source.write_text(source.read_text(encoding="utf-8").replace("lamp", "door"), encoding="utf-8")
    with pytest.raises(UsageError, match="the input changed"):
        predict(str(finished), read_rows(None, source), {}, Target(target, source, resume=True))
    predict(str(finished), read_rows(None, source), {}, Target(target, source))
    assert "predictions of an interrupted command are replaced" in capsys.readouterr().err
    assert len(target.read_text(encoding="utf-8").splitlines()) == N


def test_progress_of_replaced_predictions_is_not_continued(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = write_rows(tmp_path, ".csv"), tmp_path / "out.jsonl"

    def command(*, resume: bool = False, reading: Reading | None = None) -> None:
        predict(str(finished), read_rows(None, source, reading), {}, Target(target, source, resume, reading))

    monkeypatch.setattr(model_folder, "LoadedModel", Stopping)
    Stopping.stop_at = 1
    with pytest.raises(Interrupted):
        command()
    with pytest.raises(UsageError, match="--reading changed"):
        command(resume=True, reading=Reading(encoding="utf-8"))
    unfinished = tmp_path / ".out.jsonl.new"
    written = unfinished.read_bytes()
    unfinished.write_bytes(b"{")
    with pytest.raises(UsageError, match="shorter than the predictions that were written"):
        command(resume=True)
    unfinished.write_bytes(written)
    Stopping.stop_at = 0  # the first command is replaced, and stopped before its first rows
    with pytest.raises(Interrupted):
        command()
    monkeypatch.undo()
    capsys.readouterr()
    command(resume=True)
    assert "nothing to resume" in capsys.readouterr().err
    assert len([json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]) == N


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.jsonl", [*['{"text": "a"}'] * 40, "{"], r"a\.jsonl:41: not valid JSON"),
        ("a.jsonl.gz", [*['{"text": "a"}'] * 40, "{"], r"a\.jsonl\.gz:41: not valid JSON"),
        ("a.jsonl", [*['{"text": "a"}'] * 40, '{"text": null}'], r"row 41: column 'text' is missing"),
        ("a.jsonl", [*['{"text": "a"}'] * 40, '{"txt": "a"}'], r"row 41: column 'text' is missing"),
        ("a.csv", ["text,n", *["a,1"] * 40, "a"], r"a\.csv:42: 1 fields, but the header has 2"),
        ("a.tsv", ["text\tn", *["a\t1"] * 40, '"a"\t2'], r"a\.tsv:42: a quotation mark in a tsv file"),
    ],
)
def test_an_error_names_its_row_before_anything_is_predicted(
    name: str, lines: list[str], message: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_streams, "HEAD_ROWS", 4)
    monkeypatch.setattr(row_streams, "HEAD_BYTES", 100)
    source = tmp_path / name
    content = "".join(f"{line}\n" for line in lines).encode()
    source.write_bytes(gzip.compress(content) if source.suffix == ".gz" else content)
    rows = read_rows(None, source)
    assert isinstance(rows, RowStream)
    with pytest.raises(UsageError, match=message):
        predict(str(finished), rows, {}, Target(tmp_path / "out.jsonl", source))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;n\ncaf\u00e9;1\n".encode("cp1252")),
        ("a.txt", "one\ntwo\n".encode("utf-16")),
        ("a.tsv", b'text\tn\n"a"\t1\n'),
        ("a.json", b'[{"text": "a"}]\n'),
        ("a.jsonl", b'{"text": "a", "entities": [[0, 1, "X"]]}\n{"text": "b", "entities": []}\n'),
        ("a.json.gz", gzip.compress(b'[{"text": "a"}]\n', mtime=0)),
        ("a.csv.gz", gzip.compress("text;n\ncaf\u00e9;1\n".encode("cp1252"), mtime=0)),
        ("a.jsonl", b'{"text": "a"'),
    ],
)
def test_other_files_are_read_as_a_whole(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert open_stream(tmp_path / name) is None


def test_a_damaged_compressed_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8b\n")
    with pytest.raises(DataError, match="damaged gzip file"):
        read_rows(None, tmp_path / "a.jsonl.gz")


def test_an_invalid_byte_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_streams, "HEAD_BYTES", 20)
    (tmp_path / "a.txt").write_bytes(b"text\n" * 5000 + b"\xff\n")
    stream = open_stream(tmp_path / "a.txt")
    assert stream is not None
    with pytest.raises(DataError, match="not valid UTF-8 after row"):
        list(stream)
    latin = open_stream(tmp_path / "a.txt", Reading(encoding="latin-1"))
    assert latin is not None
    assert len(list(latin)) == 5001
