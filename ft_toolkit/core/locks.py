"""Locks on files. The operating system releases a lock when its process ends, also when the process is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Yield whether this process got the lock on a file without waiting; the lock is released when the context ends.

    The file is created if necessary and stays empty. Processes on several machines exclude each other if the file system shares
    locks between machines, as NFS 4 does. Raises OSError where the file system has no locks.
    """
    import fcntl  # not on Windows

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Wait for the lock on a file and hold it within the context; see `try_lock`."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
