"""A separate process that runs one `ftk` command, for the reload check of a saved model.

Loading the libraries takes seconds. `start_early` starts the process on another core before this process loads its own
libraries, and `take` returns it when the command is ready. This module imports no heavy library.
"""

import json
import os
import subprocess
import sys
from typing import Self

from ft_toolkit.core.errors import ReloadError
from ft_toolkit.core.signals import describe_exit

# Loads the libraries and then runs the command line that it reads from standard input. Started by name: core imports no room
# above it.
_WAITING_MODULE = "ft_toolkit.cli.wait_for_command"
# Set by launchers for each process of a distributed run.
_LAUNCHER_VARIABLES = {
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "GROUP_RANK",
}
_LAUNCHER_PREFIXES = ("TORCHELASTIC_", "ACCELERATE_")
# The user's choice of the device, which a launcher does not set.
_DEVICE_VARIABLE = "ACCELERATE_USE_CPU"


class FreshProcess:
    """A process that has loaded the libraries, shares no state with this one, and waits for one `ftk` command."""

    def __init__(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WAITING_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_offline_environment(),
            # Ctrl-C in the terminal must reach only this process, which decides when to stop
            start_new_session=True,
        )

    @property
    def is_running(self) -> bool:
        """Whether the process is still waiting for a command."""
        return self._process.poll() is None

    def run(self, *arguments: str, limit: float) -> None:
        """Run `ftk ARGUMENTS` in the process and wait until it ends, at most `limit` seconds.

        Raises ReloadError with its output, or with the signal that ended it, if it fails.
        """
        try:
            _, errors = self._process.communicate(json.dumps(["ftk", *arguments]) + "\n", timeout=limit)
        except subprocess.TimeoutExpired:
            raise ReloadError(
                f"the process that checks the saved model did not answer within {limit:.0f} s (process {self._process.pid}); "
                "perhaps it was stopped, or the machine is very busy",
                may_succeed=True,
            ) from None
        code = self._process.returncode
        if code < 0:
            raise ReloadError(f"the process that checks the saved model {describe_exit(code)}", may_succeed=True)
        if code:
            raise ReloadError(f"a new process cannot load the saved model:\n{errors.strip()}")

    def end(self) -> None:
        """End the process if it is still running."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


_waiting: list[FreshProcess] = []


def start_early() -> None:
    """Start the process that `take` will return, on the main process only. The caller must call `end_early` at the end."""
    if os.environ.get("RANK", "0") == "0" and not _waiting:
        _waiting.append(FreshProcess())


def take() -> FreshProcess:
    """Return the process that was started early, or start a new one."""
    early = _waiting.pop() if _waiting else None
    return early if early is not None and early.is_running else FreshProcess()


def end_early() -> None:
    """End the process that was started early, unless it was taken."""
    while _waiting:
        _waiting.pop().end()


def _offline_environment() -> dict[str, str]:
    """Return this process's environment without the launcher's variables and without network access.

    The threads of the new process wait without spinning, because this process computes scores on the same cores.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key == _DEVICE_VARIABLE or (key not in _LAUNCHER_VARIABLES and not key.startswith(_LAUNCHER_PREFIXES))
    }
    return {"OMP_WAIT_POLICY": "passive", **inherited, "HF_HUB_OFFLINE": "1"}
