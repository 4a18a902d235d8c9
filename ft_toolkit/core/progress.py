"""The form of functions that show the progress of a long step."""

from collections.abc import Callable

# Shows the progress of a step: its name, the number of parts that are done, and their total.
Report = Callable[[str, int, int], None]


def no_report(step: str, done: int, total: int) -> None:
    """Show no progress."""
