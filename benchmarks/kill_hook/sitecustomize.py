"""Kill this process before its n-th file operation of a kind. Python imports this module if PYTHONPATH has its folder.

KILL_AT has the kind and the number, such as `rename:3`; the kind `none` only counts. KILL_FOLDER is the folder whose operations
count. At the end, a process that was not killed adds the counts to KILL_COUNTS, a file. Operations of libraries in other
languages (the contents of safetensors and optimizer files) have no event in Python; a kill at a random time covers them.
"""

import atexit
import json
import os
import signal
import sys
from collections import Counter
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = {
    "os.rename": "rename",
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.rmdir": "rmdir",
    "os.link": "link",
    "os.symlink": "link",
    "os.truncate": "truncate",
    "socket.connect": "connect",
}


def install(kill_at: str, folder: str, counts_file: str | None = None) -> None:
    """Count the operations of this process on files of a folder, and kill it before the chosen one."""
    kind, _, number = kill_at.partition(":")
    counts: Counter[str] = Counter()

    def happened(name: str) -> None:
        counts[name] += 1
        if name == kind and counts[name] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    def concerns(paths: tuple[Any, ...]) -> bool:
        if len(paths) == 2 and isinstance(paths[1], int) and paths[1] >= 0:
            return True  # shutil.rmtree names files relative to their folder
        return any(isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(folder) for path in paths[:2])

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2]
            if isinstance(flags, int) and flags & _WRITING and concerns(arguments[:1]):
                happened("open")
        elif event in _EVENTS and (event == "socket.connect" or concerns(arguments)):
            happened(_EVENTS[event])

    synchronize = os.fsync

    def fsync(descriptor: Any) -> None:
        happened("fsync")
        synchronize(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)
    if counts_file is not None:
        process = os.getpid()

        def write() -> None:
            if os.getpid() == process:
                with open(counts_file, "a", encoding="utf-8") as file:  # noqa: PTH123 - loaded before everything else
                    file.write(json.dumps(counts) + "\n")

        atexit.register(write)


# With several processes, only in the main process of the run, not in the launcher. The variable is removed, because the process
# of the reload check inherits the environment.
if "KILL_AT" in os.environ and os.environ.get("RANK") == ("0" if "KILL_LAUNCHED" in os.environ else None):
    install(os.environ.pop("KILL_AT"), os.environ["KILL_FOLDER"], os.environ.get("KILL_COUNTS"))
