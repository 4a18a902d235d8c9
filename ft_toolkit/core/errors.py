"""The errors that the command line prints without a traceback, with their exit codes.

    FtkError                      1  the command failed while running
    ├── UsageError                2  the command, the recipe or the data is wrong; nothing was written
    │   ├── RecipeError              lists every mistake in a recipe
    │   ├── DataError                a data file or a data card does not match the recipe
    │   ├── ModelError               a model cannot be found or does not fit the task
    │   ├── ResumeError              there is no checkpoint, or it belongs to other data or another recipe
    │   ├── FolderInUseError         another process writes to the folder
    │   ├── RunFolderError           a file of a run folder is missing, damaged, foreign or too new
    │   └── AccessError              there is no token for the Hub, or it lacks the permission
    ├── NotFiniteError            1  the loss is NaN or infinite; stopped before the update
    ├── StorageError              1  a file cannot be written or read: the disk is full, read-only ...
    ├── LostProcessError          1  another process of a distributed run ended or cannot be reached
    ├── ChildRunError             1  one of several runs failed (2 if all failures are UsageErrors); finished runs are kept
    ├── ReloadError               1  the saved model does not reproduce the predictions of the run
    ├── GateError                 3  a finished run does not meet a condition of 'ftk gate'
    ├── HubError                  1  the Hub cannot be reached or refused the upload; local files are complete
    └── Interrupted         130|143  Ctrl-C or SIGTERM; a checkpoint was saved

Any other exception is a bug in ft_toolkit and shows its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# The longest line of a message. A line may repeat a value of the user's data, which may have any length.
_LONGEST_LINE = 2000
_KEPT_AT_END = 500
_MAX_MISTAKES = 50


class FtkError(Exception):
    """Base class of all errors that the command line prints without a traceback. The middle of a long line is left out."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__("\n".join(map(_shorten, message.split("\n"))))


class UsageError(FtkError):
    """Invalid input. The message says where, what was found, what is allowed, and what to do."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """A mistake in a recipe: `where` is file and line, or the command line; `key` is dotted."""

    where: str
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.problem}" if self.key else f"{self.where}: {self.problem}"


class RecipeError(UsageError):
    """All mistakes in a recipe."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes):,} mistake{'s' if len(mistakes) > 1 else ''} in the recipe"
        shown = [f"  {mistake}" for mistake in mistakes[:_MAX_MISTAKES]]
        more = [f"  ... and {len(mistakes) - len(shown):,} more"] if len(mistakes) > len(shown) else []
        super().__init__("\n".join([count, *shown, *more]))


class DataError(UsageError):
    """A data file or a data card does not match the recipe."""


class ModelError(UsageError):
    """A model cannot be found, is not the expected one, or does not fit the task."""


class ResumeError(UsageError):
    """There is no checkpoint, or it belongs to other data or another recipe."""


class FolderInUseError(UsageError):
    """Another process writes to the folder. The message names the process."""


class RunFolderError(UsageError):
    """A file of a run folder is missing, damaged, of another kind, or written by a newer version."""


class AccessError(UsageError):
    """There is no valid token for the Hub, or it lacks the permission. Nothing was uploaded."""


class NotFiniteError(FtkError):
    """The loss of a step is NaN or infinite. Raised before the update, so the weights are unchanged."""


class StorageError(FtkError):
    """A file cannot be written or read. The message has the path, the reason, a remedy and the command that resumes."""


class LostProcessError(FtkError):
    """Another process of a distributed run ended or cannot be reached. The message of that process says why."""


class ChildRunError(FtkError):
    """A run of a command that starts several runs failed. The message names its folder and the command that resumes."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ReloadError(FtkError):
    """A fresh process that loaded the saved model did not reproduce the predictions of the run.

    `may_succeed` says that the process was ended or stopped, so another attempt may succeed.
    """

    def __init__(self, message: str, *, may_succeed: bool = False) -> None:
        super().__init__(message)
        self.may_succeed = may_succeed


class GateError(FtkError):
    """A finished run does not meet a condition of 'ftk gate'. The message names the condition and the values."""

    exit_code = 3


class HubError(FtkError):
    """The Hub cannot be reached, or refused the upload. All local files are complete; another attempt may succeed."""


class Interrupted(FtkError):  # noqa: N818 - not an error
    """A signal stopped the run: `signum` is 2 (SIGINT) or 15 (SIGTERM)."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def _shorten(line: str) -> str:
    """Return a line without its middle if it is too long. A message begins with the place and ends with the remedy."""
    n_left_out = len(line) - _LONGEST_LINE
    if n_left_out <= 0:
        return line
    return f"{line[: _LONGEST_LINE - _KEPT_AT_END]} ... ({n_left_out:,} characters left out) ... {line[-_KEPT_AT_END:]}"


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name with the most similar spelling, or None if none is similar."""
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest allowed name, or an empty string when none is near."""
    near = nearest(name, allowed)
    return f" Did you mean '{near}'?" if near is not None else ""


def one_of(allowed: Iterable[str], *, limit: int = 10, more: str = "") -> str:
    """Return names separated by commas. After `limit` names: "... and N more", with `more` (how to see all) in parentheses."""
    names = list(allowed)
    if len(names) <= limit + 1:  # "and 1 more" would not be shorter than the name
        return ", ".join(names)
    return f"{', '.join(names[:limit])} ... and {len(names) - limit} more" + (f" ({more})" if more else "")
