"""The interface of an executor. An executor starts jobs; `run_jobs` decides when, waits for them and collects their errors."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """A function call in a separate process.

    title       the name on the console, such as "seed 1"
    folder      the folder that the job writes, for messages
    function    the function as "module:name"
    arguments   its keyword arguments, as JSON values
    log         the file that gets the job's output
    """

    title: str
    folder: Path
    function: str
    arguments: Mapping[str, Any]
    log: Path


@dataclass(frozen=True)
class JobEnd:
    """The end of a job: the message and the exit code of its error; no message for a job that succeeded."""

    error: str | None = None
    exit_code: int = 0


class RunningJob(Protocol):
    """A job that an executor started."""

    def poll(self) -> JobEnd | None:
        """Return the end of the job, None while it waits or runs."""

    def stop(self) -> None:
        """Ask the job to stop, as SIGTERM or Ctrl-C does; a training run then saves a checkpoint."""


class Pool(Protocol):
    """An executor that is ready to start jobs."""

    def start(self, job: Job) -> RunningJob:
        """Start a job, or put it into the queue of a cluster."""


@dataclass(frozen=True)
class Resources:
    """The options of the user, the folder for logs, and the largest number of jobs at a time (None: no limit)."""

    options: Mapping[str, Any]
    logs: Path
    parallel: int | None


@dataclass(frozen=True)
class Executor:
    """An executor.

    open            starts the executor for the time of a context
    parallel        (options) -> the default for the largest number of jobs at a time; None leaves it to the queue
    package         the package that it requires
    has_options     whether the user can set parameters with --executor-option
    """

    open: Callable[[Resources], AbstractContextManager[Pool]]
    parallel: Callable[[Mapping[str, Any]], int | None]
    package: str | None = None
    has_options: bool = True
