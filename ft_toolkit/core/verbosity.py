"""How much a command prints."""

from enum import IntEnum


class Verbosity(IntEnum):
    """How much a command prints while it runs. Errors and final results are always printed.

    QUIET    warnings and results
    NORMAL   also what is trained, on which data, and the progress
    VERBOSE  also settings that do not change the result, such as the speed-ups in use
    """

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2
