"""Every error that a user can cause, and the exit code it leads to.

    FtkError                      1  failed while running
    ├── UsageError                2  the command, the recipe or the data is wrong; nothing was changed
    │   ├── RecipeError              every mistake of one recipe, listed at once
    │   ├── DataError                a data file or a data card is not what the recipe says
    │   ├── ModelError               a checkpoint cannot be found or does not fit the task
    │   ├── ResumeError              the saved state belongs to other data or another recipe
    │   ├── RunFolderError           a file of a run folder is missing, damaged, foreign or too new
    │   └── AccessError              no token for the Hub, or one that may not write there
    ├── NotFiniteError            1  the loss is NaN or infinite; stopped before the update
    ├── LostProcessError          1  another process of the run is gone, and so the run
    ├── ReloadError               1  the saved model does not give the predictions it gave in memory
    ├── GateError                 3  a finished run does not meet a condition of 'ftk gate'
    ├── HubError                  1  the Hub cannot be reached, or did not take what was sent; here nothing is lost
    └── Interrupted         130|143  Ctrl-C or SIGTERM; a checkpoint was saved

Anything else that escapes is a bug of ours and shows its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class FtkError(Exception):
    """Base of all errors that the command line prints without a traceback."""

    exit_code = 1


class UsageError(FtkError):
    """Something the user gave is wrong; the message says where, what was found, what is allowed, and the remedy."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake in a recipe: `where` (file and line, or the command line), `key` (dotted), `problem`."""

    where: str
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.problem}" if self.key else f"{self.where}: {self.problem}"


class RecipeError(UsageError):
    """All mistakes of a recipe at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''} in the recipe"
        super().__init__("\n".join([count, *(f"  {m}" for m in mistakes)]))


class DataError(UsageError):
    """A data file or data card is not what the recipe says."""


class ModelError(UsageError):
    """A checkpoint cannot be found, is not the one expected, or does not fit the task."""


class ResumeError(UsageError):
    """The saved state is missing, or belongs to other data or another recipe."""


class RunFolderError(UsageError):
    """A file of a run folder is missing, damaged, of another kind, or written by a newer version."""


class AccessError(UsageError):
    """The Hub knows no token, or not that one, or it may not write there. Nothing was sent."""


class NotFiniteError(FtkError):
    """The loss of a step is NaN or infinite. Raised before the update, so the weights are still those of the step before."""


class LostProcessError(FtkError):
    """Another process of the run has ended or cannot be reached. Its own message, if it had one, says why."""


class ReloadError(FtkError):
    """A fresh process that loaded the saved model predicted something else than the run did."""


class GateError(FtkError):
    """A finished run does not meet what 'ftk gate' was told to ask of it; the message says which condition, and by how much."""

    exit_code = 3


class HubError(FtkError):
    """The Hub cannot be reached, or did not take what was sent; what is on this disk is whole. Asking again may help."""


class Interrupted(FtkError):  # noqa: N818 - not an error of anybody's
    """The run was told to stop. `signum` is 2 (SIGINT) or 15 (SIGTERM)."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


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
