"""Executors compute the independent runs of one command. They are found by walking this folder; none has a scheduler.

To add an executor, add one module here that ends with `EXECUTOR = Executor(...)`, and its test. There is no list to edit.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.runs.executors.base import Executor

_OTHER_MODULES = {"__init__", "base", "job", "run_jobs"}
LOCAL = "local"


def find_executors() -> dict[str, Executor]:
    """Return the executors by name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _OTHER_MODULES)
    return {name: importlib.import_module(f"{__name__}.{name}").EXECUTOR for name in names}


@dataclass(frozen=True)
class Execution:
    """How the independent runs of a command are computed.

    executor    the name of an executor
    parallel    the largest number of runs at a time; None uses the executor's default
    options     parameters of the executor, such as slurm_partition
    """

    executor: str = LOCAL
    parallel: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_separate(self) -> bool:
        """Whether each run gets a separate process; otherwise this process computes the runs one after the other."""
        return self.executor != LOCAL or (self.parallel or 1) > 1

    def check(self) -> None:
        """Raise UsageError for an unknown executor, for options that it does not have, and for a missing package."""
        executors = find_executors()
        if self.executor not in executors:
            raise UsageError(
                f"--executor {self.executor}: unknown; allowed: {one_of(executors)}.{did_you_mean(self.executor, executors)}"
            )
        executor = executors[self.executor]
        if self.options and not executor.has_options:
            raise UsageError(f"--executor-option: the executor '{self.executor}' has no options; remove it")
        if executor.package is not None and find_spec(executor.package) is None:
            raise UsageError(
                f"--executor {self.executor} requires the package {executor.package}, which is not installed; "
                f"pip install 'ft-toolkit[{executor.package}]'"
            )
