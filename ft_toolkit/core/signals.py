"""SIGINT and SIGTERM as a wish to stop after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def note_stop_signals() -> Iterator[dict[str, int]]:
    """Note the first SIGINT or SIGTERM instead of dying of it; the second acts as usual."""
    stop = {"signum": 0}
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def note(signum: int, frame: FrameType | None) -> None:
        stop["signum"] = signum
        restore()

    for signum in before:
        signal.signal(signum, note)
    try:
        yield stop
    finally:
        restore()
