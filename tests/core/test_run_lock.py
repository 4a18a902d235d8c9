"""The lock of a run folder: one process at a time, and locks of processes that ended are recognized."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import FolderInUseError, FtkError, UsageError
from ft_toolkit.core.run_folder import LOCK
from ft_toolkit.core.run_lock import Owner, RunLock, confirm_lock, lock_owner

HOLD = """
import pathlib, sys
from ft_toolkit.core.run_lock import RunLock
RunLock(pathlib.Path(sys.argv[1]))
print(1, flush=True)
sys.stdin.read()
"""
ELSEWHERE = {"machine": "another", "host": "gpu7"}


def hold(folder: Path) -> subprocess.Popen[str]:
    """Return a process that has the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    return process


def write_lock(folder: Path, age: float, **changes: object) -> None:
    owner = replace(Owner.this_process(), **changes)
    (folder / LOCK).write_text(json.dumps(asdict(owner)), encoding="utf-8")
    now = (folder / LOCK).stat().st_mtime
    os.utime(folder / LOCK, (now - age, now - age))


def test_a_second_process_is_refused_with_the_owner_and_a_remedy(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with pytest.raises(
        FolderInUseError, match=rf"in use by process {process.pid} on .*, since 20.* kill {process.pid}"
    ):
        RunLock(tmp_path)
    owner = lock_owner(tmp_path)
    assert owner is not None and owner.pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock_owner(tmp_path) is None
    with RunLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_stopped_process_on_this_machine_is_kept(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(FolderInUseError):
            RunLock(tmp_path, stale_seconds=0)
    finally:
        process.kill()
        process.communicate()


def test_one_process_may_take_a_lock_twice(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        with RunLock(tmp_path):
            pass
        assert (tmp_path / LOCK).is_file()
    assert not (tmp_path / LOCK).exists()


def test_another_process_with_the_same_id_is_not_the_owner(tmp_path: Path) -> None:
    write_lock(tmp_path, age=0, created=1.0)
    with RunLock(tmp_path):
        pass


def test_a_lock_of_another_machine_is_stale_when_its_time_is_old(tmp_path: Path) -> None:
    write_lock(tmp_path, age=400, **ELSEWHERE)
    assert lock_owner(tmp_path) is not None  # not known to have ended
    with RunLock(tmp_path):
        pass


def test_a_lock_of_another_machine_that_ages_is_taken_over(tmp_path: Path) -> None:
    write_lock(tmp_path, age=0, **ELSEWHERE)
    with RunLock(tmp_path, stale_seconds=0.3):
        pass


def test_a_living_owner_on_another_machine_is_named(tmp_path: Path) -> None:
    write_lock(tmp_path, age=0, **ELSEWHERE)
    beat = "import os, sys, time\nfor _ in range(600):\n    os.utime(sys.argv[1]); time.sleep(0.1)"
    process = subprocess.Popen([sys.executable, "-c", beat, str(tmp_path / LOCK)])
    try:
        with pytest.raises(FolderInUseError, match=r"on gpu7, since .* 'kill \d+' on gpu7"):
            RunLock(tmp_path, stale_seconds=20)
    finally:
        process.kill()
        process.wait()


def test_a_damaged_lock_and_files_of_killed_processes_do_not_block(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("{", encoding="utf-8")
    os.utime(tmp_path / LOCK, (1, 1))
    dead = replace(Owner.this_process(), created=1.0)
    (tmp_path / f".{LOCK}.{dead.token}").write_text(json.dumps(asdict(dead)), encoding="utf-8")
    with RunLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_process_that_lost_its_lock_does_not_write_and_does_not_release(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        confirm_lock(tmp_path)
        write_lock(tmp_path, age=0, **ELSEWHERE)
        with pytest.raises(FtkError, match="on gpu7 has taken over this run folder"):
            confirm_lock(tmp_path)
    assert (tmp_path / LOCK).is_file()


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with pytest.raises(FolderInUseError):
        claim("x", tmp_path, resume=False)
    process.kill()
    process.communicate()
    with claim("x", tmp_path, resume=False) as lock:
        assert lock.folder == tmp_path
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="exists and is not empty"):
        claim("x", tmp_path, resume=False)
    assert not (tmp_path / LOCK).exists()
