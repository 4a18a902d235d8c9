"""A process that knows nothing of this one, ready for one `ftk` command: what proves that a saved model answers the same.

Its libraries take seconds to load. `start_early` starts it before this process loads its own, on another core, and `take`
hands it out when it is needed. Nothing heavy is imported here.
"""

import json
import os
import subprocess
import sys
from typing import Self

from ft_toolkit.core.errors import ReloadError


class FreshProcess:
    """A process that has loaded its libraries, and nothing of this one, and waits for the words of one `ftk` command."""

    # no words: the run was over before it had a model to prove
    _WAIT = (
        "import sys, json; from ft_toolkit.cli.app import main; from ft_toolkit.cli.libraries import load_libraries; "
        "load_libraries(); words = sys.stdin.readline(); sys.argv = json.loads(words or '[]'); words and main()"
    )

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._WAIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_plain_environment(),
            # a Ctrl-C on the terminal is this process's to answer
            start_new_session=True,
        )

    @property
    def lives(self) -> bool:
        """Whether it still waits."""
        return self._process.poll() is None

    def run(self, *words: str) -> None:
        """Run `ftk WORDS` there to its end. Raises ReloadError with what it says when it fails."""
        _, errors = self._process.communicate(json.dumps(["ftk", *words]) + "\n")
        if self._process.returncode != 0:
            raise ReloadError(f"the saved model cannot be loaded by a fresh process:\n{errors.strip()}")

    def end(self) -> None:
        """End it, if it still waits."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


_waiting: list[FreshProcess] = []


def start_early() -> None:
    """Start a process that `take` will give, in the first of several ranks; who calls this calls `end_early` in the end."""
    if os.environ.get("RANK", "0") == "0" and not _waiting:
        _waiting.append(FreshProcess())


def take() -> FreshProcess:
    """Return the process that was started early, or, where there is none any more, a new one."""
    early = _waiting.pop() if _waiting else None
    return early if early is not None and early.lives else FreshProcess()


def end_early() -> None:
    """End the process that was started early and not taken."""
    while _waiting:
        _waiting.pop().end()


def _plain_environment() -> dict[str, str]:
    """Return the environment without what makes a process one of several ranks, and without the network.

    Its threads wait without spinning: this process computes scores beside it, on the same cores.
    """
    launcher = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in launcher and not key.startswith(("TORCHELASTIC_", "ACCELERATE_"))
    }
    return {"OMP_WAIT_POLICY": "passive", **kept, "HF_HUB_OFFLINE": "1"}
