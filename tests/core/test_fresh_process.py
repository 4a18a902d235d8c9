"""The process of the reload check: its environment, its commands, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ft_toolkit.core import fresh_process
from ft_toolkit.core.errors import ReloadError


@pytest.mark.parametrize(
    ("variable", "inherited"),
    [("ACCELERATE_USE_CPU", True), ("MY_VARIABLE", True), ("ACCELERATE_MIXED_PRECISION", False), ("RANK", False)],
)
def test_the_variables_that_the_process_inherits(
    monkeypatch: pytest.MonkeyPatch, variable: str, inherited: bool
) -> None:
    monkeypatch.setenv(variable, "1")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env=fresh_process._offline_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    environment = json.loads(printed)
    assert (variable in environment) is inherited
    assert environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("signum", "message"),
    [
        (signal.SIGSTOP, r"did not answer within 0 s \(process \d+\); perhaps it was stopped"),
        (signal.SIGKILL, r"was ended by SIGKILL \(perhaps by the system, because memory ran out\)"),
        (signal.SIGTERM, "was ended by SIGTERM"),
    ],
)
def test_a_process_that_was_stopped_or_ended_by_a_signal(signum: signal.Signals, message: str) -> None:
    with fresh_process.FreshProcess() as process:
        process._process.send_signal(signum)
        if signum != signal.SIGSTOP:
            process._process.wait()
        with pytest.raises(ReloadError, match=message) as raised:
            process.run("predict", limit=0.3)
    assert raised.value.may_succeed
    assert not process.can_run


@pytest.fixture
def process() -> Iterator[fresh_process.FreshProcess]:
    """The process that the tests of this session keep."""
    with fresh_process.fresh_process() as process:
        yield process


def test_commands_run_in_forks_of_one_process(
    process: fresh_process.FreshProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first.yaml", "second.yaml"):
        process.run("copy", "demo", name, limit=600)
        assert (tmp_path / name).is_file()
        # the messages are those of this command only
        with pytest.raises(ReloadError, match=rf"^a new process cannot load the saved model:\nerror: {name}[^\n]+$"):
            process.run("copy", "demo", name, limit=600)


def test_a_command_that_was_killed_leaves_the_process(process: fresh_process.FreshProcess, tmp_path: Path) -> None:
    """The system kills the largest process when memory runs out, which is the fork."""
    os.mkfifo(tmp_path / "rows.txt")

    def kill_fork() -> None:
        server = psutil.Process(process._process.pid)
        while not (forks := server.children()):
            time.sleep(0.01)
        forks[0].kill()

    threading.Thread(target=kill_fork).start()
    with pytest.raises(ReloadError, match="was ended by SIGKILL") as raised:
        process.run("predict", "model", "--input", str(tmp_path / "rows.txt"), limit=600)
    assert raised.value.may_succeed and process.can_run


def test_a_process_is_kept_while_the_environment_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_process.keep_process():
        with fresh_process.fresh_process() as first:
            first.run("copy", "demo", str(tmp_path / "recipe.yaml"), limit=600)
        with fresh_process.fresh_process() as again:
            assert again is first
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))  # read once, when the libraries are loaded
        with fresh_process.fresh_process() as other:
            assert other is not first and first._process.poll() is not None
