"""Training rows that are read while the run trains: the same rows in every process and after an interruption."""

import bz2
import gzip
import json
import lzma
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.run_records import read_run_results
from ft_toolkit.data import row_streams
from ft_toolkit.data.hub_datasets import stream_from_hub
from ft_toolkit.data.hub_splits import HubStream
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.training_stream import TrainingStream, open_files
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.language_modelling import Settings
from ft_toolkit.training.prepare import Prepared, prepare

N = 50
TEXTS = [f"row {i} of the stream, {'lamp ' * (i % 7)}" for i in range(N)]


@pytest.fixture
def recipe(write_recipe: Any, tiny_gpt2: str, tmp_path: Path) -> Path:
    """A recipe that reads 50 rows, 12 at a time, and evaluates at the end only."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), "utf-8")
    (tmp_path / "validation.txt").write_text("a text\nanother text\n", encoding="utf-8")
    path: Path = write_recipe(
        task={"name": "language_modelling"},
        model={"name": tiny_gpt2},
        data={
            "train": str(tmp_path / "rows.jsonl"),
            "validation": str(tmp_path / "validation.txt"),
            "stream_rows": 12,
            "max_length": 16,
        },
        training={"learning_rate": 1e-3, "examples_per_batch": 4, "max_steps": 40, "save_steps": 1, "logging_steps": 1},
        evaluation={"bootstrap_samples": 100, "baselines": [], "eval_steps": 40},
    )
    return path


def prepared_from(recipe: Path, *settings: str) -> Prepared:
    return prepare(load_recipe(recipe, list(settings), find_tasks()), work_folder=recipe.parent)


def write(path: Path) -> Path:
    """Write the texts in the format of the name."""
    lines = "".join(
        (text if ".txt" in path.name else json.dumps({"text": text})) + "\n"
        for text in ([*TEXTS] if "csv" not in path.name else [])
    )
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), path, row_group_size=9)
    else:
        compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
        path.write_bytes(compress(lines.encode()))
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.txt", "a.parquet", "a.jsonl.gz", "a.txt.gz", "a.jsonl.bz2", "a.jsonl.xz"]
)
def test_every_format_and_compression(name: str, tmp_path: Path) -> None:
    rows = open_files(write(tmp_path / name))
    for _ in range(2):  # every iteration starts again
        assert [row["text"].strip() for row in rows] == [text.strip() for text in TEXTS]


def test_a_pattern_reads_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name)
    assert len(list(open_files(tmp_path / "*.jsonl"))) == 2 * N
    (tmp_path / "c.txt").write_text("x\n", encoding="utf-8")
    with pytest.raises(DataError, match="different formats"):
        open_files(tmp_path / "*")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'[{"text": "a"}]'),
        ("a.txt", "caf\u00e9\n".encode("latin-1")),
        ("a.json.gz", gzip.compress(b'[{"text": "a"}]', mtime=0)),
    ],
)
def test_other_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="cannot be read row by row"):
        open_files(tmp_path / name)
    if name == "a.txt":
        assert list(open_files(tmp_path / name, Reading(encoding="latin-1"))) == [{"text": "caf\u00e9"}]


@pytest.mark.parametrize("name", ["a.jsonl.xz", "a.jsonl.gz", "a.jsonl.bz2"])
def test_a_damaged_compressed_file_is_an_error(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        list(open_files(path))


def stream(n_rows: int, size: int) -> TrainingStream:
    rows = [{"text": str(i)} for i in range(n_rows)]
    return TrainingStream(rows, size, lambda rows, first: [{"first": first, **row} for row in rows], size)


@pytest.mark.parametrize(("n_rows", "size"), [(10, 4), (8, 4), (3, 4), (1, 1)])
def test_a_buffer_depends_on_its_number_alone(n_rows: int, size: int) -> None:
    in_order = stream(n_rows, size)
    buffers = [in_order.buffer(number) for number in range(7)]
    n_read = in_order.n_read
    per_pass = -(-n_rows // size)
    assert [row["text"] for part in buffers[:per_pass] for row in part] == [str(i) for i in range(n_rows)]
    assert buffers[per_pass] == buffers[0] and buffers[0][0]["first"] == 1
    for numbers in ([6], [5, 6], [3, 1, 6], [6, 6]):
        other = stream(n_rows, size)
        assert [other.buffer(number) for number in numbers] == [buffers[number] for number in numbers]
        assert other.n_read == n_read


def test_the_rows_of_other_splits_are_not_trained_on(tmp_path: Path) -> None:
    texts = [f"text {i % 20}" for i in range(60)]
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    section = DataSection(train=str(tmp_path / "a.txt"), validation_fraction=0.3, stream_rows=20)
    data = load_data(section, find_tasks()["language_modelling"], Settings())
    assert data.stream is not None
    held_out = {row["text"] for row in data.splits["validation"]}
    trained = [{row["text"] for row in data.stream.buffer(number)} for number in range(3)]
    assert held_out and trained == [set(texts) - held_out] * 3
    assert {row["text"] for row in data.splits["train"]} == trained[0]


def test_only_the_rows_that_are_needed_are_read(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.dumps({"text": text}) for text in TEXTS[:30]]
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, "not JSON"]) + "\n", encoding="utf-8")
    monkeypatch.setattr(row_streams, "HEAD_ROWS", 4)
    prepared = prepared_from(recipe)  # reads rows 1 to 12
    assert prepared.stream is not None
    assert len(prepared.features_of_epoch(1).n_tokens_cut) == 12
    with pytest.raises(DataError, match=r"rows\.jsonl:31: not valid JSON"):
        prepared.features_of_epoch(2)


def test_the_processes_share_the_batches_of_one(recipe: Path) -> None:
    one, two = (prepared_from(recipe, f"training.examples_per_batch={n}") for n in (4, 2))
    for epoch in (2, 0, 5):
        assert list(one.features_of_epoch(epoch).inputs["input_ids"]) == list(
            two.features_of_epoch(epoch).inputs["input_ids"]
        )
        together = [[i for (micro,) in step for i in micro.features] for step in one.epoch_batches(epoch, 1)]
        shared = [
            [i for (micro,) in step for i in micro.features if micro.weight] for step in two.epoch_batches(epoch, 2)
        ]
        assert [sorted(step) for step in shared] == [sorted(step) for step in together]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.max_steps=null"], "data.stream_rows: requires the number of steps"),
        (["training.num_train_epochs=2"], "excludes training.num_train_epochs"),
        (["data.train_fraction=0.5"], "stream_rows excludes train_fraction"),
        (["data.patch=x.json"], "stream_rows excludes patch"),
        (["data.on_bad_rows=skip"], "stream_rows excludes on_bad_rows=skip"),
        (["augmentation.typos=0.1"], "excludes augmentation"),
        (["task.name=summarization"], "summarization needs all training rows"),
    ],
)
def test_settings_that_need_all_rows_are_refused(settings: list[str], message: str, recipe: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(recipe, settings, find_tasks())


def test_a_data_set_is_read_without_a_download(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train.jsonl")
    splits, _ = stream_from_hub(str(tmp_path / "data"), None, None)
    rows = HubStream(splits["train"])
    for _ in range(2):
        assert [row["text"] for row in islice(rows, 3)] == TEXTS[:3]
    assert len(list(rows)) == N


def steps(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return (record for record in map(json.loads, lines) if "loss" in record)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(recipe: Path, here: Any, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    here("run", recipe, "--output", whole)
    words = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), "--output", str(killed)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 200
        while len(list(steps(killed))) < 11:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    here("run", recipe, "--output", killed, "--resume")
    for name in ("model/model.safetensors", "predictions.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert [record["loss"] for record in steps(killed)] == [record["loss"] for record in steps(whole)]
    facts = [read_run_results(folder).training.stream for folder in (whole, killed)]
    assert facts[0] is not None and facts[0] == facts[1]
    assert facts[0].rows > N and facts[0].tokens > 1000
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert "The training rows were read as a stream, 12 at a time" in page
    assert "The training rows were read as a stream" in (whole / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(recipe: Path, here: Any, tmp_path: Path) -> None:
    words = ["run", str(recipe), "training.max_steps=12", "model.dropout=0.0"]
    here(*words, "--output", tmp_path / "one")
    two = ["training.examples_per_batch=2", "--output", str(tmp_path / "two"), "--processes", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "ft_toolkit", *words, *two], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    one, both = ([record["loss"] for record in steps(tmp_path / name)] for name in ("one", "two"))
    assert both == pytest.approx(one, rel=1e-4)
