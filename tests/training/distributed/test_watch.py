"""A process that is stopped without an end ends the run within the time limit of the recipe."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

LIMIT = 6


def start_two(recipe: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run in two processes that lasts longer than the test, and wait for its first checkpoint."""
    settings = ["training.num_train_epochs=500", "training.save_steps=2", f"training.lost_process_seconds={LIMIT}"]
    words = [
        sys.executable,
        "-m",
        "ft_toolkit",
        "run",
        str(recipe),
        *settings,
        "--output",
        str(folder),
        "--processes",
        "2",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last").is_dir():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_process_ends_the_run(write_recipe: Any, tmp_path: Path, rank: int) -> None:
    process = start_two(write_recipe(), tmp_path / "run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    pids = [pid for pid in children if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text()]
    os.kill(int(pids[0]), signal.SIGSTOP)
    stopped = time.monotonic()
    _, errors = process.communicate(timeout=120)
    assert time.monotonic() - stopped < 2 * LIMIT + 60  # and the launcher's 30 s until it kills the stopped process
    assert process.returncode == 1 and errors.count("error:") == 1 and "Traceback" not in errors
    assert f"process {rank} of 2 (counted from 0) has not responded for {LIMIT} s" in errors
    assert "--output FOLDER --resume" in errors


def test_fewer_than_five_seconds_are_refused(write_recipe: Any, here: Any) -> None:
    done = here("run", write_recipe(), "training.lost_process_seconds=1", "--dry-run", check=False)
    assert done.returncode == 2 and "training.lost_process_seconds" in done.stderr and "5" in done.stderr
