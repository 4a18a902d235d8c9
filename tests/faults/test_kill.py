"""The kill campaign of benchmarks/kill.py, with ten kills: none may lose a run or leave it stuck."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill.py"


@pytest.mark.slow
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "--output", tmp_path, "--mode", "full", "--kills", "10", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(line) for line in (tmp_path / "kills.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["outcome"] for record in records] == ["ok"] * 10
    assert sum(record["killed"] for record in records) >= 8  # a random time may be after the end
