"""The executor `submitit`: one Slurm job per run; without Slurm, or with the option cluster=local, processes on this machine.

Options are the parameters of `submitit.AutoExecutor.update_parameters`, such as slurm_partition, timeout_min, gpus_per_node,
cpus_per_task and mem_gb. https://github.com/facebookincubator/submitit
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.executors.base import Executor, Job, JobEnd, Pool, Resources, RunningJob
from ft_toolkit.runs.executors.job import payload_of, run_job

# The default time limit of submitit is five minutes.
_DEFAULTS = {"timeout_min": 24 * 60}


class _SubmittedJob:
    """A job in the queue of the cluster."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def poll(self) -> JobEnd | None:
        if not self._job.done():
            return None
        error = self._job.exception()
        if error is None:
            return JobEnd(**self._job.result())
        last_line = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        return JobEnd(f"job {self._job.job_id} failed: {last_line} (see {self._job.paths.stderr})", 1)

    def stop(self) -> None:
        self._job.cancel()


class _Cluster:
    """Submits jobs."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def start(self, job: Job) -> RunningJob:
        self._executor.update_parameters(name=f"ftk-{job.folder.name}")
        return _SubmittedJob(self._executor.submit(run_job, payload_of(job)))


@contextmanager
def _open(resources: Resources) -> Iterator[Pool]:
    import submitit

    options = {**_DEFAULTS, **resources.options}
    try:
        executor = submitit.AutoExecutor(resources.logs / "submitit", cluster=options.pop("cluster", None))
        executor.update_parameters(**options)
    except (NameError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"--executor submitit: {str(error).strip()}") from None
    yield _Cluster(executor)


def _parallel(options: Mapping[str, Any]) -> int | None:
    """Return 1 for processes on this machine, and no limit for Slurm, which has a queue."""
    import submitit

    cluster = options.get("cluster") or submitit.AutoExecutor.which()
    return 1 if cluster == "local" else None


EXECUTOR = Executor(_open, parallel=_parallel, package="submitit")
