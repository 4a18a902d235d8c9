"""The process of a job: `run_job` calls its function.

`python -m ft_toolkit.runs.executors.job` reads the job from standard input and writes its end to standard output. When the
parent process ends, even by SIGKILL, standard input is closed, and the job stops as after SIGTERM. A lock beside the
log makes sure that two processes never compute the same job.
"""

import importlib
import json
import os
import signal
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import FtkError
from ft_toolkit.core.locks import try_lock
from ft_toolkit.runs.executors.base import Job


def payload_of(job: Job) -> str:
    """Return a job as one line of JSON."""
    values = {"function": job.function, "arguments": dict(job.arguments), "log": str(job.log), "cwd": str(Path.cwd())}
    return json.dumps(values)


def run_job(payload: str) -> dict[str, Any]:
    """Call the function of a job in this process, with its output in the log, and return the fields of its JobEnd.

    Only an FtkError becomes a JobEnd; the executor reports any other exception.
    """
    call = json.loads(payload)
    os.chdir(call["cwd"])  # a process of a cluster may start elsewhere
    log = Path(call["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", encoding="utf-8") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        try_lock(log.with_name(f"{log.name}.lock")) as is_free,
    ):
        if not is_free:
            return {"error": "another process is still computing this run; wait until it ends", "exit_code": 1}
        module, _, name = call["function"].partition(":")
        try:
            getattr(importlib.import_module(module), name)(**call["arguments"])
        except FtkError as error:
            return {"error": str(error), "exit_code": error.exit_code}
    return {"error": None, "exit_code": 0}


def _stop_with_the_parent() -> None:
    """Wait until standard input is closed, and ask this process to stop."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the job on the first line of standard input."""
    payload = sys.stdin.readline()
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    end = run_job(payload)
    sys.stdout.write(json.dumps(end) + "\n")


if __name__ == "__main__":
    main()
