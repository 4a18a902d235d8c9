"""Start jobs on an executor, wait for all of them, and stop them after a signal."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import ChildRunError, Interrupted
from ft_toolkit.core.signals import StopRequest, defer_stop_signals
from ft_toolkit.runs.executors import Execution, find_executors
from ft_toolkit.runs.executors.base import Job, JobEnd, Pool, Resources, RunningJob

# Seconds between two checks of the running jobs. A job takes at least several seconds.
_INTERVAL = 0.2

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Failure:
    """A job that failed."""

    job: Job
    end: JobEnd


def run_jobs(jobs: Sequence[Job], execution: Execution, logs: Path, say: Say, resume_with: str) -> None:
    """Run all jobs, at most `execution.parallel` at a time, and return when all have ended.

    After the first error, no further job is started; running jobs are completed. `say` prints a line, and `resume_with` is the
    command that repeats only the unfinished jobs. Raises ChildRunError with the errors of all failed jobs, and Interrupted
    after SIGINT and SIGTERM, when all jobs have stopped.
    """
    executor = find_executors()[execution.executor]
    parallel = execution.parallel or executor.parallel(execution.options)
    with defer_stop_signals() as stop, executor.open(Resources(execution.options, logs, parallel)) as pool:
        failures = _run(jobs, pool, parallel or len(jobs), stop, say)
    if stop.signum:
        raise Interrupted(
            stop.signum, f"stopped; the finished runs and all checkpoints are kept. Resume with:\n  {resume_with}"
        )
    if failures:
        text = "\n".join(_describe(failure) for failure in failures)
        code = 1 if any(failure.end.exit_code == 1 for failure in failures) else failures[0].end.exit_code
        raise ChildRunError(f"{text}\nThe finished runs are kept. Resume with:\n  {resume_with}", code)


def _run(jobs: Sequence[Job], pool: Pool, parallel: int, stop: StopRequest, say: Say) -> list[_Failure]:
    """Start jobs in order until a job fails or a signal arrives, and return the failures when all started jobs have ended."""
    waiting, running = list(jobs), list[tuple[Job, RunningJob]]()
    failures: list[_Failure] = []
    stopped = False
    while running or (waiting and not failures and not stop.signum):
        while waiting and len(running) < parallel and not failures and not stop.signum:
            job = waiting.pop(0)
            say(f"{job.title}: started, output in {job.log}")
            running.append((job, pool.start(job)))
        if stop.signum and not stopped:
            stopped = True
            for job, started in running:
                say(f"{job.title}: stopping")
                started.stop()
        for job, started in list(running):
            end = started.poll()
            if end is None:
                continue
            running.remove((job, started))
            if end.error is not None:
                failures.append(_Failure(job, end))
            say(f"{job.title}: {'finished' if end.error is None else 'failed'}")
        time.sleep(_INTERVAL)
    return failures


def _describe(failure: _Failure) -> str:
    job, end = failure.job, failure.end
    return f"{job.title} failed in {job.folder}: {end.error}. Output: {job.log}"
