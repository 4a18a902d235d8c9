"""Errors of the file system: one rule turns them into a message with path, reason, remedy and the command to resume."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ft_toolkit.core.errors import StorageError

# What to do, by the number of the error.
_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space",
    errno.EDQUOT: "The quota of this user is used up: free some space",
    errno.EROFS: "The file system is read-only: choose a folder on another one",
    errno.EACCES: "Change the permissions, or choose another folder",
    errno.EPERM: "Change the permissions, or choose another folder",
    errno.ENAMETOOLONG: "Choose a shorter path",
    errno.EFBIG: "The limit for the size of a file is too low: see 'ulimit -f'",
    errno.EMFILE: "The limit for open files is too low: see 'ulimit -n'",
    errno.ENOENT: "The file or its folder does not exist, or was removed while the command was running",
    errno.ENOTDIR: "Choose another folder",
    errno.EIO: "The disk or the network file system has a fault",
    errno.ESTALE: "The connection to the network file system was lost",
}
# How libraries in Rust (safetensors, tokenizers) write the number of an error of the system.
_NUMBER = re.compile(r"\(os error (\d+)\)")
_RUST_ERRORS = ("SafetensorError", "Exception")


class StorageErrors:
    """A context that turns an error of the file system into a StorageError with the command that resumes.

    `path` is the file or folder for an error that names none.
    """

    def __init__(self, path: Path | None = None, resume_with: str | None = None) -> None:
        self._path, self._resume_with = path, resume_with

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        text = None if error is None else describe_storage_error(error, self._path)
        if text is not None:
            resume = "" if self._resume_with is None else f". Then resume with:\n  {self._resume_with}"
            raise StorageError(f"{text}{resume}") from error


def describe_storage_error(error: BaseException, path: Path | None = None) -> str | None:
    """Return path, reason and remedy for an error of the file system; None for any other error.

    PyTorch raises RuntimeError while it handles such an error; libraries in Rust report only its number.
    """
    if not isinstance(error, (OSError, RuntimeError)) and type(error).__name__ not in _RUST_ERRORS:
        return None
    for each in _chain(error):
        if isinstance(each, (ConnectionError, TimeoutError, BlockingIOError)):
            return None
        number = each.errno if isinstance(each, OSError) else _number_in(each)
        if number not in _REMEDIES:
            continue
        name = (each.filename if isinstance(each, OSError) else None) or path
        shown_path = (
            os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else "standard output or an open file"
        )
        return f"{shown_path}: {os.strerror(number)}. {_REMEDIES[number]}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it, the last one first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _number_in(error: BaseException) -> int | None:
    match = _NUMBER.search(str(error)) if type(error).__name__ in _RUST_ERRORS else None
    return None if match is None else int(match[1])
