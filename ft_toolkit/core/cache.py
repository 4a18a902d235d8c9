"""A cache of results that can be computed again: rows and features of large data sets.

Place: the folder in FT_TOOLKIT_CACHE, else $XDG_CACHE_HOME/ft_toolkit, else ~/.cache/ft_toolkit. An entry is a folder
KIND/KEY, and its key is a hash of everything that determines its content. The entries together have at most
FT_TOOLKIT_CACHE_GIB (default 20) GiB: the entries that were not used for the longest time are removed. The whole folder can be
removed at any time.

Several processes can use the cache at once: an entry is written to a folder of its own and renamed when it is complete, and the
first of two equal entries is kept. An entry whose files do not have their recorded size and checksum is removed. An entry is
renamed before it is removed, so no process sees a part of it. Files that a process has mapped into memory stay readable.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ft_toolkit.core.errors import UsageError

T = TypeVar("T")
PLACE, LIMIT = "FT_TOOLKIT_CACHE", "FT_TOOLKIT_CACHE_GIB"
_DEFAULT_GIB = 20.0
# The sizes and checksums of the files of an entry.
_FILES = "files.json"
# The folder of the cache for temporary files.
_SCRATCH = "scratch"
_READ_BYTES = 2**20
# A folder of an interrupted process is removed after a day.
_ABANDONED_SECONDS = 86_400


def folder() -> Path:
    """Return the folder of the cache, which may not exist."""
    if place := os.environ.get(PLACE):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ft_toolkit"


def key_of(*parts: Any) -> str:
    """Return a key for values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def read(kind: str, key: str, read_files: Callable[[Path], T]) -> T | None:
    """Return `read_files(folder)` of an entry; None if there is none, or if another process has removed it in the meantime."""
    entry = find(kind, key)
    try:
        return None if entry is None else read_files(entry)
    except OSError:
        return None


def find(kind: str, key: str) -> Path | None:
    """Return the folder of an entry; None if there is none. A damaged entry is removed."""
    entry = folder() / kind / key
    if not entry.is_dir():
        return None
    if not _is_complete(entry):
        _remove(entry)
        return None
    with suppress(OSError):  # of another user, or removed in the meantime
        os.utime(entry)
    return entry


def add(kind: str, key: str, write: Callable[[Path], object]) -> Path | None:
    """Return the folder of an entry whose files `write` writes to the folder that it is given.

    Return None if the cache cannot be written, such as on a full disk or for the entry of another user. Raises UsageError for
    an invalid FT_TOOLKIT_CACHE_GIB.
    """
    entry, limit = folder() / kind / key, _limit_bytes()
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".", suffix=".new", dir=entry.parent))
    except OSError:
        return None
    try:
        write(fresh)
        checks = {path.name: [path.stat().st_size, _checksum(path)] for path in fresh.iterdir()}
        (fresh / _FILES).write_text(json.dumps(checks), encoding="utf-8")
        try:
            fresh.rename(entry)
        except OSError:  # another process has written the same entry
            return entry if _is_complete(entry) else None
        _remove_oldest(entry, limit)
    except OSError:
        return None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return entry


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Provide a folder for temporary files, and remove it at the end of the context; mapped files stay readable.

    The folder is in the cache or, if the cache cannot be written, where the system keeps temporary files. Raises UsageError if
    the disk is full.
    """
    parent = folder() / _SCRATCH
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".", suffix=".new", dir=parent))
    except OSError:
        scratch = Path(tempfile.mkdtemp(prefix="ft_toolkit-"))
    try:
        yield scratch
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        problem = f"{scratch.parent}: the disk is full; the rows of long files are written to it while they are read"
        raise UsageError(f"{problem}. Set {PLACE} to a folder with enough space") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_complete(entry: Path) -> bool:
    try:
        checks = json.loads((entry / _FILES).read_text(encoding="utf-8"))
        return all([(entry / name).stat().st_size, _checksum(entry / name)] == check for name, check in checks.items())
    except (OSError, ValueError, AttributeError):
        return False


def _remove(entry: Path) -> None:
    """Remove an entry. It disappears as a whole: a part of it would prevent that another process writes it again."""
    removed = entry.with_name(f".{uuid.uuid4().hex}.old")
    with suppress(OSError):  # of another user, or removed by another process
        entry.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _remove_oldest(keep: Path, limit: float) -> None:
    """Remove abandoned folders, and the entries that were not used for the longest time until `limit` bytes are respected."""
    entries: list[tuple[float, int, Path]] = []
    for path in folder().glob("*/*"):
        with suppress(OSError):  # removed by another process
            used = path.stat().st_mtime
            if not path.name.startswith("."):
                entries.append((used, sum(file.stat().st_size for file in path.iterdir()), path))
            elif used < time.time() - _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        if path != keep:
            _remove(path)
            total -= size


def _limit_bytes() -> float:
    given = os.environ.get(LIMIT, str(_DEFAULT_GIB))
    try:
        gib = float(given)
    except ValueError:
        gib = math.nan
    if not gib >= 0:
        raise UsageError(f"{LIMIT} must be the size limit of the cache in GiB, a number of at least 0; found {given!r}")
    return gib * 2**30
