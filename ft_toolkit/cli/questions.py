"""Ask questions on the terminal."""

from collections.abc import Callable
from typing import TypeVar

from ft_toolkit.core.standard_input import standard_input

Answer = TypeVar("Answer")


def can_ask() -> bool:
    """Return whether a person at a terminal can answer."""
    lines = standard_input()
    return lines is not None and lines.isatty()


def ask(question: str, parse: Callable[[str], Answer]) -> Answer | None:
    """Print a question and return `parse` of the answer; None for an empty answer, and after the end of the input (Ctrl-D).

    If `parse` raises ValueError, print it and ask again.
    """
    lines = standard_input()
    while lines is not None:
        print(f"{question} (empty: not known): ", end="", flush=True)
        answer = lines.readline()
        if not answer:
            print()
        if not answer.strip():
            break
        try:
            return parse(answer.strip())
        except ValueError as error:
            print(f"  {error}")
    return None
