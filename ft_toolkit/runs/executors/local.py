"""The executor `local`: processes on this machine, which share its cores and its GPUs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ft_toolkit.core.signals import describe_exit
from ft_toolkit.runs.executors.base import Executor, Job, JobEnd, Pool, Resources, RunningJob
from ft_toolkit.runs.executors.job import payload_of

_THREADS, _GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class _Process:
    """A process with a job."""

    process: subprocess.Popen[str]

    def poll(self) -> JobEnd | None:
        code = self.process.poll()
        if code is None:
            return None
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        with self.process.stdout as output:
            lines = output.read().splitlines()
        if code == 0 and lines:
            return JobEnd(**json.loads(lines[-1]))
        return JobEnd(f"its process {describe_exit(code)}", 1)

    def stop(self) -> None:
        self.process.terminate()


class _Processes:
    """Starts processes in a fixed number of slots. A slot has an equal share of the cores and one of the GPUs."""

    def __init__(self, n_slots: int) -> None:
        self._slots: list[subprocess.Popen[str] | None] = [None] * n_slots
        self._gpus = _visible_gpus()

    def start(self, job: Job) -> RunningJob:
        slot = next(i for i, process in enumerate(self._slots) if process is None or process.poll() is not None)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ft_toolkit.runs.executors.job"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self._share(slot)},
                start_new_session=True,  # Ctrl-C in the terminal reaches only this process, which stops the jobs
            )
        self._slots[slot] = process
        assert process.stdin is not None
        process.stdin.write(payload_of(job) + "\n")
        process.stdin.flush()
        return _Process(process)

    def _share(self, slot: int) -> dict[str, str]:
        """Return the environment variables that give a slot its share of the machine."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, cores // len(self._slots))
        share = {_THREADS: str(min(threads, int(os.environ.get(_THREADS, threads))))}
        return share | ({_GPUS: self._gpus[slot % len(self._gpus)]} if self._gpus else {})


def _visible_gpus() -> list[str]:
    """Return the names of the CUDA devices that this process sees, as CUDA_VISIBLE_DEVICES has them."""
    if _GPUS in os.environ:
        return [name for name in os.environ[_GPUS].split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def _open(resources: Resources) -> Iterator[Pool]:
    yield _Processes(resources.parallel or 1)


EXECUTOR = Executor(_open, parallel=lambda options: 1, has_options=False)
