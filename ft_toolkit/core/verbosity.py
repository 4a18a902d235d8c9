"""How much a command prints."""

from enum import IntEnum


class Verbosity(IntEnum):
    """How much is printed while a run is in progress. Errors are always shown.

    PROGRESS the training progress alone: a bar on a terminal, else a line every 15 seconds (for the Python API)
    QUIET    warnings and results
    NORMAL   also what is trained, on which data, and the progress
    VERBOSE  also settings that do not change the result, such as the speed-ups in use
    """

    PROGRESS = -1
    QUIET = 0
    NORMAL = 1
    VERBOSE = 2
