"""Create the folder that a command writes, and lock it."""

import shutil
from pathlib import Path

from ft_toolkit.core.run_folder import INPUT_ROWS, LOCK, RECIPE, RESULTS, check_folder
from ft_toolkit.core.run_lock import RunLock
from ft_toolkit.core.run_records import read_results


def claim(name: str, output: Path | None, *, resume: bool, parent: str = "runs") -> RunLock:
    """Create and lock a folder: `output`, or NAME in `parent` with the next free number. Raises UsageError.

    The lock has the path as `folder`; the caller releases it.
    """
    if output is not None:
        check_folder(output, resume=resume)
        output.mkdir(parents=True, exist_ok=True)
        lock = RunLock(output)
        try:
            check_folder(output, resume=resume)  # another process may have written to it until now
        except BaseException:
            lock.release()
            raise
        return lock
    number = 1
    while True:
        folder = Path(parent) / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return RunLock(folder)


def is_complete(output: Path | None, command: str) -> bool:
    """Return whether a folder has the results of the same command, which was killed before it released its lock; release it.

    Such a command succeeds when it is repeated, as in a job queue. Raises FolderInUseError.
    """
    if output is None or not ((output / LOCK).is_file() and (output / RESULTS).is_file()):
        return False
    if read_results(output).command != command:
        return False
    with RunLock(output):
        return True


def remove_if_bare(folder: Path) -> None:
    """Delete a run folder without a recipe and without input rows."""
    if not (folder / RECIPE).exists() and not (folder / INPUT_ROWS).exists():
        shutil.rmtree(folder, ignore_errors=True)
