"""`python -m ft_toolkit.cli.wait_for_command`: load the libraries, then run one command line from standard input.

The command line is a JSON list such as ["ftk", "predict", ...] on one line. Without a line (the parent process has ended, or
needs no command) the process exits with code 0. `ft_toolkit.core.fresh_process` starts this module.
"""

import json
import sys

from ft_toolkit.cli.app import main
from ft_toolkit.cli.libraries import load_libraries

if __name__ == "__main__":
    load_libraries()
    line = sys.stdin.readline()
    if line:
        sys.argv = json.loads(line)
        main()
