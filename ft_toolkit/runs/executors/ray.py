"""The executor `ray`: one Ray task per run, on a running cluster (option address=auto) or a new Ray instance on this machine.

Options: address, and the resources of a task, such as num_cpus, num_gpus and memory. All machines must see the same folders.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ft_toolkit.core.errors import FtkError, UsageError
from ft_toolkit.runs.executors.base import Executor, Job, JobEnd, Pool, Resources, RunningJob
from ft_toolkit.runs.executors.job import payload_of, run_job

# The environment variables that tasks inherit: the paths of models and packages, and the choice of the device.
_INHERITED = ("HF_", "TRANSFORMERS_", "PYTHONPATH", "ACCELERATE_USE_CPU")


class _Task:
    """A task that Ray schedules."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def poll(self) -> JobEnd | None:
        import ray

        if not ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return JobEnd(**ray.get(self._reference))
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return JobEnd(f"{type(error).__name__}: {lines[-1] if lines else ''}".strip(": "), 1)

    def stop(self) -> None:
        import ray

        ray.cancel(self._reference)


class _Cluster:
    """Starts tasks."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def start(self, job: Job) -> RunningJob:
        return _Task(self._task.remote(payload_of(job)))


@contextmanager
def _open(resources: Resources) -> Iterator[Pool]:
    import ray

    options = {"num_cpus": 1, **resources.options}
    address = options.pop("address", "local")  # by default not a cluster that already runs on this machine
    variables = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    started_here = not ray.is_initialized()
    try:
        if started_here:
            ray.init(
                address=address,
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                include_dashboard=False if address == "local" else None,
                logging_level="error",
            )
        # a run that fails is not repeated: it would fail again, or the user resumes it
        task = ray.remote(run_job).options(max_retries=0, **options)
    except (ConnectionError, ValueError, TypeError) as error:
        raise UsageError(f"--executor ray: {error}") from None
    except RuntimeError as error:
        raise FtkError(f"--executor ray: Ray cannot be started: {error}") from None
    try:
        yield _Cluster(task)
    finally:
        if started_here:
            ray.shutdown()


EXECUTOR = Executor(_open, parallel=lambda options: None, package="ray")
