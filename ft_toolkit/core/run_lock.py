"""The lock of a run folder: at most one process writes to it. Works on local and on shared file systems.

The lock is the file `run.lock` in the folder. It names its owner, so that a message can say who uses the folder. It is created
by a hard link, which is atomic also on network file systems without file locks. The owner updates the file's time every few
seconds. A lock is stale if its process no longer exists on this machine or, for an owner on another machine, if its time has
not changed for `STALE_SECONDS`. The times are compared with the clock of the file system, not with the clock of this machine.
"""

import contextlib
import errno
import json
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from ft_toolkit.core.errors import FolderInUseError, FtkError
from ft_toolkit.core.run_folder import LOCK

# Seconds between two changes of the file's time, and the age of a stale lock of another machine. NFS may show a time that is up
# to 60 seconds old.
HEARTBEAT_SECONDS, STALE_SECONDS = 10.0, 150.0
_BOOT_ID, _PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock.

    machine     identifies the machine, its current boot and the container: process ids are comparable within one of them
    started     the time of the lock (UTC), for messages
    created     the start time of the process in seconds, to recognize another process with the same id
    token       a random name of this lock
    """

    pid: int
    host: str
    machine: str
    started: str
    created: float
    token: str

    @classmethod
    def this_process(cls) -> Self:
        """Return the owner of a new lock of this process."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        created = psutil.Process().create_time()
        return cls(os.getpid(), platform.node(), _machine(), started, created, uuid.uuid4().hex)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the owner's process ids mean the same processes here."""
        return self.machine == _machine()

    @property
    def is_alive(self) -> bool:
        """Whether the process exists; only for an owner on this machine."""
        try:
            process = psutil.Process(self.pid)
            # a second of tolerance: psutil adds the time of the boot, which changes when the clock is set
            return bool(process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.created) < 1.0)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


class RunLock:
    """The lock that this process holds on a folder; it is released by `release` or at the end of a `with` block.

    The same process may take the lock of a folder several times; the file is removed by the last release.
    """

    _held: dict[Path, "RunLock"] = {}  # noqa: RUF012 - shared by all locks of this process

    def __init__(self, folder: Path, *, stale_seconds: float = STALE_SECONDS) -> None:
        """Take the lock of an existing folder. Raises FolderInUseError if another process holds it.

        While the owner is on another machine and its lock is not stale yet, this waits: for a change of the file's time, which
        shows that the owner is alive, or until the lock is stale.
        """
        self.folder = folder
        self._key = folder.resolve()
        outer = self._held.get(self._key)
        self._is_outer = outer is None
        if outer is None:
            self._path = self._key / LOCK
            self._owner = Owner.this_process()
            _take(self._path, self._owner, stale_seconds)
            self._ended = threading.Event()
            threading.Thread(target=self._beat, daemon=True, name="run lock").start()
            self._held[self._key] = self

    def release(self) -> None:
        """Remove the lock, if this process still has it."""
        if not self._is_outer:
            return
        self._ended.set()
        self._held.pop(self._key, None)
        if _read(self._path) == self._owner:
            with contextlib.suppress(OSError):  # a read-only file system: the lock is stale when this process has ended
                self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # the folder was removed: the next write to it reports that
                os.utime(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def confirm_lock(folder: Path) -> None:
    """Raise FtkError if another process has taken the lock of a folder that this process locked.

    That happens when this process was stopped (SIGSTOP, a suspended machine) for longer than `STALE_SECONDS`. Raises
    FileNotFoundError if the folder was removed: a write would create a folder without the files of the start.
    """
    held = RunLock._held.get(folder.resolve())
    if held is not None and not held._path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(held._path))
    owner = None if held is None else _read(held._path)
    if held is not None and owner is not None and owner != held._owner:
        raise FtkError(
            f"{folder}: process {owner.pid} on {owner.host} has taken over this run folder, because this process did not "
            "respond. This process wrote nothing since then; the other process continues the run"
        )


def lock_owner(folder: Path) -> Owner | None:
    """Return the process that uses a run folder, None if there is none or if it is known to have ended."""
    owner = _read(folder / LOCK)
    return None if owner is None or (owner.is_on_this_machine and not owner.is_alive) else owner


def _take(path: Path, owner: Owner, stale_seconds: float) -> None:
    """Create the lock file, or replace a stale one. Raises FolderInUseError."""
    for left in path.parent.glob(f".{path.name}.*"):  # by processes that were killed while they took the lock
        killed = _read(left)
        if killed is not None and killed.is_on_this_machine and not killed.is_alive:
            left.unlink(missing_ok=True)
    fresh = path.with_name(f".{path.name}.{owner.token}")
    fresh.write_text(json.dumps(asdict(owner)) + "\n", encoding="utf-8")
    first_time: int | None = None
    try:
        while not _create(fresh, path):
            other, changed = _read(path), _time_of(path)
            if changed is None:  # released in the meantime
                continue
            if other is not None and other.is_on_this_machine:
                if other.is_alive:
                    raise _in_use(path, other)
                _replace(path, other, fresh)
                continue
            os.utime(fresh)
            age = ((_time_of(fresh) or changed) - changed) / 1e9
            if age > stale_seconds:
                _replace(path, other, fresh)
                continue
            first_time = changed if first_time is None else first_time
            if changed != first_time:
                raise _in_use(path, other)
            time.sleep(min(1.0, stale_seconds / 4))
    finally:
        fresh.unlink(missing_ok=True)


def _create(fresh: Path, path: Path) -> bool:
    """Create `path` with the content of `fresh`; return False if it exists."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        try:  # a file system without hard links
            with path.open("x", encoding="utf-8") as file:
                file.write(fresh.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _replace(path: Path, stale: Owner | None, fresh: Path) -> None:
    """Remove a stale lock, unless another process has replaced it in the meantime.

    Of several processes that find the same stale lock, one at a time may remove it: they lock the stale file itself, where the
    file system has locks, and check that it is still the same.
    """
    with contextlib.suppress(FileNotFoundError), path.open("a", encoding="utf-8") as file:
        with contextlib.suppress(OSError, ImportError):
            import fcntl  # not on Windows

            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino and _read(path) == stale:
            path.unlink()


def _read(path: Path) -> Owner | None:
    """Return the owner in a lock file, None without a file and for a file that is not complete."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _time_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _machine() -> str:
    """Return a name of this machine, its current boot and the namespace of its process ids."""
    boot = _BOOT_ID.read_text(encoding="utf-8").strip() if _BOOT_ID.is_file() else ""
    with contextlib.suppress(OSError):
        return f"{platform.node()} {boot} {os.readlink(_PID_NAMESPACE)}"  # noqa: PTH115 - not a path
    return f"{platform.node()} {boot}"


def _in_use(path: Path, owner: Owner | None) -> FolderInUseError:
    folder = path.parent
    if owner is None:
        return FolderInUseError(
            f"{folder} is in use by another process. Wait until it ends, or choose another --output"
        )
    stop = f"kill {owner.pid}" if owner.is_on_this_machine else f"'kill {owner.pid}' on {owner.host}"
    return FolderInUseError(
        f"{folder} is in use by process {owner.pid} on {owner.host}, since {owner.started}. Wait until it ends, stop it with "
        f"{stop} (a training run saves a checkpoint), or choose another --output"
    )
