"""Notice within minutes that another process of a run no longer works: it was stopped, or its machine or network failed.

The end of a process is noticed at once, because its connections close. A process that is stopped, or a machine that lost its
power or its network, closes nothing: the others would wait in a collective operation for `processes.TIMEOUT`, which must be
longer than anything that the main process does alone. Therefore a thread of each process counts up a number in the store that
all processes share, also while the process computes or waits.
"""

import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from accelerate import PartialState
from torch.distributed.distributed_c10d import _get_default_store

from ft_toolkit.training.distributed.launch import reports_errors

# Checks per time limit.
_CHECKS = 10


@contextmanager
def watched_processes(distributed: PartialState, limit: float) -> Iterator[None]:
    """Within the context, end this process with a message if another process has not responded for `limit` seconds.

    No exception can end a collective operation, so this process ends with exit code 1 at once; the last checkpoint is complete.
    """
    if distributed.num_processes == 1:
        yield
        return
    watch = _Watch(distributed, limit)
    watch.start()
    try:
        yield
    finally:
        watch.end()


class _Watch:
    """Two threads: one exchanges the counters, which takes forever if the store is lost; the other one checks the times."""

    _number = 0

    def __init__(self, distributed: PartialState, limit: float) -> None:
        type(self)._number += 1  # the same on all processes, which start the same runs in the same order
        self._rank, self._size, self._limit = distributed.process_index, distributed.num_processes, limit
        self._interval = limit / _CHECKS
        # A separate connection, because a collective operation may block the other one. PyTorch's stubs lack the method.
        self._store = _get_default_store().clone()  # type: ignore[attr-defined]
        self._ended = threading.Event()
        now = time.monotonic()
        self._exchanged = now
        self._counters = dict.fromkeys(self._others, 0)
        self._changed = dict.fromkeys(self._others, now)

    @property
    def _others(self) -> list[int]:
        return [rank for rank in range(self._size) if rank != self._rank]

    def start(self) -> None:
        """Start the threads."""
        for work in (self._exchange, self._check):
            threading.Thread(target=work, daemon=True, name="watch of processes").start()

    def end(self) -> None:
        """End the threads, and tell the other processes that this one has finished."""
        self._ended.set()
        with suppress(RuntimeError):  # the store is lost, so its process has ended
            self._store.set(self._key("end", self._rank), "1")

    def _key(self, name: str, rank: int) -> str:
        return f"ftk/{self._number}/{name}/{rank}"

    def _exchange(self) -> None:
        with suppress(RuntimeError):  # a closed connection is reported by the collective operations
            while not self._ended.wait(self._interval):
                self._store.add(self._key("alive", self._rank), 1)
                for rank in self._others:
                    counter = self._store.add(self._key("alive", rank), 0)
                    if counter != self._counters[rank] or self._store.check([self._key("end", rank)]):
                        self._counters[rank], self._changed[rank] = counter, time.monotonic()
                self._exchanged = time.monotonic()

    def _check(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self._interval):
            now = time.monotonic()
            if now - last > self._limit / 2:  # this process itself was stopped
                self._exchanged = now
                self._changed = dict.fromkeys(self._others, now)
            last = now
            lost = [rank for rank in self._others if now - self._changed[rank] > self._limit]
            if lost and now - self._exchanged < self._limit / 2:
                self._leave(f"process {lost[0]} of {self._size} (counted from 0) has not responded")
            elif now - self._exchanged > self._limit:
                self._leave("the process that connects the others has not responded")

    def _leave(self, problem: str) -> None:
        if reports_errors(os.environ):
            sys.stderr.write(
                f"error: process {self._rank} on {platform.node()}: {problem} for {self._limit:g} s: it was stopped, or its "
                "machine or network failed. Resume from the last checkpoint with --output FOLDER --resume. The time limit is "
                "training.lost_process_seconds\n"
            )
            sys.stderr.flush()
        os._exit(1)
