"""The form of a verb of the command line."""

from collections.abc import Callable
from dataclasses import dataclass

import typer


@dataclass(frozen=True)
class Verb:
    """A verb: a function with Typer annotations, or a Typer group. Its name is the name of its module, with hyphens."""

    # The position in `ftk --help`, ascending.
    order: int
    command: Callable[..., None] | typer.Typer
    # Whether settings written as options (--learning_rate 1e-4) get a message with the right form.
    takes_settings: bool = False
