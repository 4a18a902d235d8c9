"""`python -m ft_toolkit.cli.wait_for_command`: load the libraries, then run command lines from standard input.

Each line is a JSON object with the working folder and a command such as ["ftk", "predict", ...]. The answer on standard output
is a JSON list: the exit code of the command, and whether this process ends now. Without a line (the parent process has ended,
or needs no command) the process exits with code 0. `ft_toolkit.core.fresh_process` starts this module.
"""

import json
import os
import sys
import traceback
import warnings

from ft_toolkit.cli.app import main
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core import environment


def _serve() -> None:
    """Run each command in a fork of this process; or, where a fork cannot use the device, one command in this process."""
    # the output of a command must not be read as an answer
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull, "r+b") as empty:  # noqa: PTH123 - not a path of the user
        os.dup2(empty.fileno(), 0)
        os.dup2(empty.fileno(), 1)
    load_libraries()
    forks = sys.platform == "linux" and environment.use_cpu()
    # Python 3.12 warns where another thread exists, such as those of OpenBLAS, which can be forked
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    for line in requests:
        process = os.fork() if forks else 0
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) if process else _run(**json.loads(line))
        if forks and not process:
            os._exit(code)  # without the cleanup of the libraries, which takes 0.3 s
        print(json.dumps([code, not forks]), file=answers, flush=True)
        if not forks:
            return


def _run(folder: str, command: list[str]) -> int:
    """Run a command in a folder and return its exit code."""
    try:
        os.chdir(folder)
        sys.argv = command
        main()
    except SystemExit as left:
        return int(left.code or 0)
    except BaseException:  # noqa: BLE001 - an error that nothing else catches
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve()
