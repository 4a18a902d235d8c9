"""Turn SIGINT and SIGTERM into a request to stop after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """The signal that asked the process to stop; `signum` is 0 if there was none."""

    signum: int = 0


@contextmanager
def defer_stop_signals() -> Iterator[StopRequest]:
    """Yield a StopRequest that records the first SIGINT or SIGTERM. A second signal has its usual effect."""
    request = StopRequest()
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for signum, handler in previous.items():
            signal.signal(signum, handler)

    def record(signum: int, frame: FrameType | None) -> None:
        request.signum = signum
        restore()

    for signum in previous:
        signal.signal(signum, record)
    try:
        yield request
    finally:
        restore()
