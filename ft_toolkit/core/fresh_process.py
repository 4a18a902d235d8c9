"""A separate process that runs `ftk` commands, for the reload check of a saved model.

Loading the libraries takes 5 s. `start_early` starts the process on another core before this process loads its own
libraries, and `fresh_process` returns it when the command is ready. Within `keep_process`, one process serves all runs of a
command. This module imports no heavy library.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ft_toolkit.core.errors import ReloadError
from ft_toolkit.core.signals import describe_exit

# Loads the libraries and then runs the commands that it reads from standard input. Started by name: core imports no room
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
# Set by pytest, with another value in each test. No library reads it.
_TEST_VARIABLE = "PYTEST_CURRENT_TEST"
# The user's choice of the device, which a launcher does not set.
_DEVICE_VARIABLE = "ACCELERATE_USE_CPU"


class FreshProcess:
    """A process that has loaded the libraries, shares no state with this one, and waits for `ftk` commands.

    On Linux without an accelerator, each command runs in a fork of the process, and sees nothing of the commands before it.
    Elsewhere the process runs one command and ends, because an accelerator cannot be used in a fork.
    """

    def __init__(self) -> None:
        """Start the process."""
        # in append mode: this process reads the messages while others write them
        self._messages = tempfile.TemporaryFile("a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WAITING_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=_offline_environment(),
            # Ctrl-C in the terminal must reach only this process, which decides when to stop
            start_new_session=True,
        )
        self._environment: dict[str, str] | None = None
        self._ends_after_command = False

    @property
    def can_run(self) -> bool:
        """Whether the process waits for a command, and the environment is that of its first command."""
        is_same = self._environment in (None, _offline_environment())
        return is_same and not self._ends_after_command and self._process.poll() is None

    def run(self, *arguments: str, limit: float) -> None:
        """Run `ftk ARGUMENTS` in the current folder and wait until it ends, at most `limit` seconds.

        Raises ReloadError with its messages, or with the signal that ended it, if it fails.
        """
        self._environment = _offline_environment()
        start = self._messages.seek(0, os.SEEK_END)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self._ask, {"folder": str(Path.cwd()), "command": ["ftk", *arguments]})
            try:
                code = answer.result(limit)
            except TimeoutError:
                self._kill()  # which ends the thread
                raise ReloadError(
                    f"the process that checks the saved model did not answer within {limit:.0f} s "
                    f"(process {self._process.pid}); perhaps it was stopped, or the machine is very busy",
                    may_succeed=True,
                ) from None
        if code < 0:
            raise ReloadError(f"the process that checks the saved model {describe_exit(code)}", may_succeed=True)
        if code:
            self._messages.seek(start)
            raise ReloadError(f"a new process cannot load the saved model:\n{self._messages.read().strip()}")

    def _ask(self, request: dict[str, object]) -> int:
        """Send a request and return the exit code of its command, or of the process if that ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._process.wait()
        answer = self._process.stdout.readline()
        if not answer:
            return self._process.wait()
        code, self._ends_after_command = json.loads(answer)
        return int(code)

    def end(self) -> None:
        """End the process, and the command that it runs."""
        self._kill()
        self._process.communicate()
        self._messages.close()

    def _kill(self) -> None:
        if sys.platform != "win32" and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # the session of the process, with its forks
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


# The process for the next command, if there is one.
_waiting: list[FreshProcess] = []
# The number of open contexts of `keep_process`.
_open = 0


@contextmanager
def keep_process() -> Iterator[None]:
    """Within the context, keep the process for the next command. End it at the end of the outermost context."""
    global _open
    _open += 1
    try:
        yield
    finally:
        _open -= 1
        if not _open:
            while _waiting:
                _waiting.pop().end()


def start_early() -> None:
    """Start the process for the next command, on the main process only. Call this within `keep_process`, which ends it."""
    assert _open, "start_early requires keep_process"
    if os.environ.get("RANK", "0") == "0" and not _waiting:
        _waiting.append(FreshProcess())


@contextmanager
def fresh_process() -> Iterator[FreshProcess]:
    """Yield the process that was started early or kept, or a new one. End it afterwards, unless it is kept."""
    process = _waiting.pop() if _waiting else FreshProcess()
    if not process.can_run:
        process.end()
        process = FreshProcess()
    try:
        yield process
    finally:
        if _open and not _waiting and process.can_run:
            _waiting.append(process)
        else:
            process.end()


def _offline_environment() -> dict[str, str]:
    """Return this process's environment without the launcher's variables and without network access.

    The threads of the new process wait without spinning, because this process computes scores on the same cores.
    """
    not_inherited = _LAUNCHER_VARIABLES | {_TEST_VARIABLE}
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key == _DEVICE_VARIABLE or (key not in not_inherited and not key.startswith(_LAUNCHER_PREFIXES))
    }
    return {"OMP_WAIT_POLICY": "passive", **inherited, "HF_HUB_OFFLINE": "1"}
