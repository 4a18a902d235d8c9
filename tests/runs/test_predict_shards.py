"""A folder of files is predicted into a folder of files, with the predictions of one file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.predict_shards import COMMAND, find_shards

TEXTS = [f"the lamp {'is good' if i % 3 else 'broke'} {i}" for i in range(30)]


@pytest.fixture
def finished() -> Path:
    """A finished run."""
    return Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder with three shards, one of them compressed, and a file that is no data."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        rows = [{"id": str(i), "text": TEXTS[i]} for i in range(number * 10, number * 10 + 10)]
        (folder / f"part-{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "README").write_text("x", encoding="utf-8")
    (folder / ".part-9.jsonl").write_text("x", encoding="utf-8")
    return folder


def labels(path: Path) -> list[tuple[str, str]]:
    return [(record["id"], record["label"]) for record in map(json.loads, path.read_text("utf-8").splitlines())]


def one_file(shards: Path, run: Path, here: Any) -> list[tuple[str, str]]:
    """Return the predictions for all shards as one file."""
    whole, output = shards.parent / "whole.jsonl", shards.parent / "one.jsonl"
    whole.write_text("".join(path.read_text("utf-8") for path in find_shards(shards)), encoding="utf-8")
    here("predict", run, "--input", whole, "--output", output)
    return labels(output)


def test_shards_have_the_predictions_of_one_file(shards: Path, finished: Path, here: Any, tmp_path: Path) -> None:
    output = tmp_path / "predicted"
    words = ["predict", finished, "--input", shards, "--output", output]
    done = here(*words)
    assert "part-1.jsonl (2 of 3)" in done.stderr
    assert sorted(path.name for path in output.iterdir()) == [COMMAND, *(f"part-{n}.jsonl" for n in range(3))]
    together = [record for number in range(3) for record in labels(output / f"part-{number}.jsonl")]
    assert together == one_file(shards, finished, here)
    refused = here(*words, check=False)
    assert refused.returncode == 2 and "already has part-0.jsonl, part-1.jsonl" in refused.stderr
    first = (output / "part-0.jsonl").stat().st_mtime_ns
    (output / "part-1.jsonl").unlink()
    again = here(*words, "--resume")
    assert "2 of 3 shards are finished" in again.stderr and (output / "part-0.jsonl").stat().st_mtime_ns == first
    assert labels(output / "part-1.jsonl") == together[10:20]
    other = here(*words, "--resume", "--column", "text=id", check=False)
    assert other.returncode == 2 and "predictions of another command (--column differs)" in other.stderr


def test_a_bad_shard_is_named_and_the_others_are_kept(shards: Path, finished: Path, here: Any, tmp_path: Path) -> None:
    output = tmp_path / "predicted"
    good = (shards / "part-1.jsonl").read_text("utf-8")
    (shards / "part-1.jsonl").write_text(good + '{"text": null}\n', encoding="utf-8")
    words = ["predict", finished, "--input", shards, "--output", output]
    failed = here(*words, check=False)
    assert failed.returncode == 2
    assert "part-1.jsonl: " in failed.stderr and "row 11" in failed.stderr
    assert f"Resume with:\n  ftk predict {finished} --input {shards} --output {output} --resume" in failed.stderr
    assert len(labels(output / "part-0.jsonl")) == 10 and not (output / "part-1.jsonl").exists()
    (shards / "part-1.jsonl").write_text(good, encoding="utf-8")
    here(*words, "--resume")
    assert len(labels(output / "part-1.jsonl")) == len(labels(output / "part-2.jsonl")) == 10


def test_names_and_folders_are_checked(shards: Path, finished: Path, here: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="no data files in this folder"):
        find_shards(empty)
    shutil.copy(shards / "part-1.jsonl", shards / "part-1.txt")
    same = here("predict", finished, "--input", shards, "--output", tmp_path / "x", check=False)
    assert same.returncode == 2 and "part-1.jsonl and part-1.txt would both be written" in same.stderr
    words = ["predict", finished, "--input", shards / "part-0.jsonl", "--output", tmp_path / "a.jsonl"]
    alone = here(*words, "--parallel", 2, check=False)
    assert alone.returncode == 2 and "require a folder of files as --input" in alone.stderr


@pytest.mark.slow
def test_jobs_on_loopback_write_the_same_files(shards: Path, finished: Path, here: Any, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    output = tmp_path / "predicted"
    words = ["--executor", "submitit", "--executor-option", "cluster=local", "--parallel", 2]
    (shards / "part-2.jsonl").unlink()
    here("predict", finished, "--input", shards, "--output", output, *words)
    together = [record for number in range(2) for record in labels(output / f"part-{number}.jsonl")]
    assert together == one_file(shards, finished, here)
    assert sorted(path.name for path in output.iterdir()) == [COMMAND, "logs", "part-0.jsonl", "part-1.jsonl"]
