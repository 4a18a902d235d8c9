"""Executors: jobs in processes of their own, their errors, and signals. The functions of the jobs import no heavy library."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from ft_toolkit.core.errors import ChildRunError, Interrupted, UsageError
from ft_toolkit.core.locks import lock, try_lock
from ft_toolkit.runs.executors import Execution, find_executors
from ft_toolkit.runs.executors.base import Job
from ft_toolkit.runs.executors.run_jobs import run_jobs

FUNCTIONS = """
import json, os, signal, time
from pathlib import Path
from ft_toolkit.core.errors import UsageError

def write(folder, value):
    print("writing", value)
    threads = os.environ.get("OMP_NUM_THREADS")
    Path(folder, f"{value}.json").write_text(json.dumps([os.getpid(), threads, os.getcwd()]))

def refuse(folder, value):
    raise UsageError(f"{value} is wrong")

def crash(folder, value):
    raise KeyError(value)

def die(folder, value):
    os.kill(os.getpid(), signal.SIGKILL)

def interrupt_parent(folder, value):
    signal.signal(signal.SIGTERM, lambda *_: (write(folder, "stopped"), os._exit(0)))
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)

def wait(folder, value):
    signal.signal(signal.SIGTERM, lambda *_: (write(folder, "stopped"), os._exit(0)))
    write(folder, "started")
    time.sleep(60)
"""

Jobs = Callable[..., list[Job]]


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Return a function that makes jobs, numbered from 1, from names in FUNCTIONS."""
    (tmp_path / "functions_of_jobs.py").write_text(FUNCTIONS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # otherwise torch is imported to count them

    def make(*names: str) -> list[Job]:
        made = []
        for number, name in enumerate(names, 1):
            arguments = {"folder": str(tmp_path), "value": number}
            log = tmp_path / "logs" / f"{number}.log"
            made.append(Job(f"seed {number}", tmp_path / f"seed_{number}", f"functions_of_jobs:{name}", arguments, log))
        return made

    return make


def run(jobs: list[Job], folder: Path, execution: Execution) -> list[str]:
    lines: list[str] = []
    run_jobs(jobs, execution, folder / "logs", lines.append, "ftk run x --resume")
    return lines


def test_the_executors_are_found_and_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(find_executors()) == {"local", "submitit", "ray"}
    with pytest.raises(UsageError, match=r"--executor slurm: unknown; allowed: local, ray, submitit"):
        Execution("slurm").check()
    with pytest.raises(UsageError, match=r"executor 'local' has no options"):
        Execution("local", options={"a": 1}).check()
    monkeypatch.setattr("ft_toolkit.runs.executors.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'ft-toolkit\[ray\]'"):
        Execution("ray").check()


def test_local_jobs_share_the_cores_and_write_logs(jobs: Jobs, tmp_path: Path) -> None:
    lines = run(jobs("write", "write", "write"), tmp_path, Execution(parallel=2))
    written = [json.loads((tmp_path / f"{number}.json").read_text()) for number in (1, 2, 3)]
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {threads for _, threads, _ in written} == {str(min(share, 4))}
    assert len({process for process, _, _ in written} | {os.getpid()}) == 4
    assert {cwd for *_, cwd in written} == {str(Path.cwd())}
    assert (tmp_path / "logs" / "2.log").read_text() == "writing 2\n"
    assert lines[:2] == [f"seed {number}: started, output in {tmp_path}/logs/{number}.log" for number in (1, 2)]
    assert "seed 3: finished" in lines


def test_an_error_names_the_run_folder_and_the_command_and_no_further_job_starts(jobs: Jobs, tmp_path: Path) -> None:
    with pytest.raises(ChildRunError) as caught:
        run(jobs("refuse", "write"), tmp_path, Execution(parallel=1))
    assert caught.value.exit_code == 2 and not (tmp_path / "2.json").exists()
    message = str(caught.value)
    assert f"seed 1 failed in {tmp_path}/seed_1: 1 is wrong" in message
    assert "The finished runs are kept. Resume with:\n  ftk run x --resume" in message


@pytest.mark.parametrize(("name", "reason"), [("die", "was ended by SIGKILL"), ("crash", "exit code 1")])
def test_a_job_that_dies_is_a_failure_and_running_jobs_are_completed(
    jobs: Jobs, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(ChildRunError, match=reason) as caught:
        run(jobs(name, "write"), tmp_path, Execution(parallel=2))
    assert caught.value.exit_code == 1 and (tmp_path / "2.json").exists()
    assert name == "die" or "KeyError" in (tmp_path / "logs" / "1.log").read_text()


def test_a_signal_stops_the_jobs(jobs: Jobs, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="ftk run x --resume") as caught:
        run(jobs("interrupt_parent", "write"), tmp_path, Execution(parallel=1))
    assert caught.value.exit_code == 143
    assert (tmp_path / "stopped.json").exists() and not (tmp_path / "2.json").exists()


def test_a_job_stops_when_the_process_that_started_it_is_killed(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs("wait")[0]
    code = (
        "from pathlib import Path\n"
        "from ft_toolkit.runs.executors import Execution\n"
        "from ft_toolkit.runs.executors.base import Job\n"
        "from ft_toolkit.runs.executors.run_jobs import run_jobs\n"
        f"job = Job('seed 1', Path({str(job.folder)!r}), {job.function!r}, {job.arguments!r}, Path({str(job.log)!r}))\n"
        f"run_jobs([job], Execution(parallel=1), Path({str(tmp_path / 'logs')!r}), print, 'ftk')\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    wait_for(tmp_path / "started.json")
    with try_lock(tmp_path / "logs" / "1.log.lock") as is_free:
        assert not is_free
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    wait_for(tmp_path / "stopped.json")
    with lock(tmp_path / "logs" / "1.log.lock"):  # released with the process
        pass


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.05)


def test_two_commands_never_compute_the_same_job(jobs: Jobs, tmp_path: Path) -> None:
    with try_lock(tmp_path / "logs" / "1.log.lock") as is_free:
        assert is_free
        with pytest.raises(ChildRunError, match="another process is still computing this run"):
            run(jobs("write"), tmp_path, Execution(parallel=1))


def test_submitit_runs_jobs_and_reports_errors(jobs: Jobs, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    execution = Execution("submitit", options={"cluster": "local"})
    run(jobs("write"), tmp_path, execution)
    assert (tmp_path / "1.json").exists() and (tmp_path / "logs" / "1.log").read_text() == "writing 1\n"
    with pytest.raises(ChildRunError, match=r"seed_1: 1 is wrong") as caught:
        run(jobs("refuse"), tmp_path, execution)
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="submitit"):
        run(jobs("write"), tmp_path, Execution("submitit", options={"cluster": "local", "slurm_color": "red"}))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (79 MB); pip install ray")
def test_ray_runs_jobs_and_reports_errors(jobs: Jobs, tmp_path: Path) -> None:
    execution = Execution("ray", parallel=2)
    run(jobs("write", "write"), tmp_path, execution)
    assert (tmp_path / "1.json").exists() and (tmp_path / "2.json").exists()
    with pytest.raises(ChildRunError) as caught:
        run(jobs("refuse", "die"), tmp_path, execution)
    assert "seed_1: 1 is wrong" in str(caught.value) and "seed 2 failed" in str(caught.value)
    with pytest.raises(UsageError, match="ray"):
        run(jobs("write"), tmp_path, Execution("ray", options={"color": "red"}))
