"""Turn SIGINT and SIGTERM into a request to stop after the current step, or into an exception that ends the command cleanly."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal(BaseException):
    """SIGINT or SIGTERM arrived. Like KeyboardInterrupt, it passes every `except Exception`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextmanager
def stop_signals_as_errors(environ: Mapping[str, str]) -> Iterator[None]:
    """Within the context, SIGINT and SIGTERM raise StopSignal, so that locks are released and a message is printed.

    In one of several processes, SIGTERM keeps its usual effect: it must end a process that waits for the others, which no
    exception can do.
    """
    signals = _SIGNALS[:1] if "RANK" in environ else _SIGNALS
    previous = {signum: signal.getsignal(signum) for signum in signals}

    def stop(signum: int, frame: FrameType | None) -> None:
        raise StopSignal(signum)

    for signum, handler in previous.items():
        if handler is not signal.SIG_IGN:  # for example in the background of a shell
            signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@dataclass
class StopRequest:
    """The signal that asked the process to stop; `signum` is 0 if there was none."""

    signum: int = 0


@contextmanager
def defer_stop_signals() -> Iterator[StopRequest]:
    """Yield a StopRequest that records the first SIGINT or SIGTERM. A second signal has its usual effect."""
    request = StopRequest()
    previous = {signum: signal.getsignal(signum) for signum in _SIGNALS}

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


def describe_exit(code: int) -> str:
    """Return how a process ended, from its exit code as `subprocess` has it: a negative code is a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    guess = " (perhaps by the system, because memory ran out)" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{guess}"
