"""A token appears in no file, no output, no error and no process list: of runs, pushes, predictions and CI files."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from minihub import Fault

TOKEN = "hf_PLANTEDneedle0123456789"
pytestmark = [pytest.mark.parametrize("mode", ["xet"], indirect=True), pytest.mark.slow]


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect the command lines of all processes that this process starts."""
    lines: set[str] = set()
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                try:
                    lines.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lines
    finally:
        end.set()
        thread.join()


def test_a_planted_token_is_found_nowhere(ftk: Any, server: Any, recipe_values: Any, tmp_path: Path) -> None:
    server.hub.tokens[TOKEN] = ("alice", "write")
    values = recipe_values | {"hub": {"license": "mit", "push": True, "repo": "alice/pushed"}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    commands = [
        ["run", "tiny.yaml", "--output", "run"],
        ["predict", "alice/pushed", "a text", "--output", "predictions.csv"],
        ["push", "run", "bob/other"],
        ["evaluate", "run", "--data", values["data"]["test"], "--output", "evaluation"],
        ["run", "tiny.yaml", "hub.token=x", "--output", "other"],
        ["run", "tiny.yaml", "data.hub=alice/no-data", "data.card=null", "--output", "other"],
        ["ci", "init"],
        ["doctor"],
    ]
    said = ""
    with watched_processes() as lines:
        for words in commands:
            done = ftk(*words, token=TOKEN)
            assert "Traceback" not in done.stderr, done.stderr
            said += f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        server.hub.faults.append(Fault("/commit/", times=99, status=500))
        done = ftk("push", "run", "alice/failing", token=TOKEN)
        assert done.returncode == 1
        said += done.stdout + done.stderr
    assert "needle" not in said
    assert "pushed: " in said and (tmp_path / "run" / "report.html").is_file()
    assert len(lines) > 5 and not [line for line in lines if "needle" in line]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 30 and not [path for path in files if b"needle" in path.read_bytes()]
    uploaded = json.dumps([str(request) for request in server.hub.log])
    assert "needle" not in uploaded
