"""How a recipe is run: the run folder, resuming, and the output on the console."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.runs.executors import Execution


@dataclass(frozen=True)
class RunOptions:
    """Everything about a run that is not in its recipe.

    output      the run folder; None creates runs/NAME with the next free number
    resume      resume the interrupted run in `output`
    smoke       run a few steps on a few rows, without the network
    command     the command line that started the run, for the run folder and the message on how to resume
    execution   the executor of a command with several runs
    without_test        leave out the test rows, for a run whose score selects settings
    after_evaluation    called on the main process with the number of the evaluation, from 1, and the score that selects the
                        checkpoint (None if it is undefined); it may raise an exception to end the run
    """

    output: Path | None
    resume: bool
    smoke: bool
    command: str
    console: Console
    verbosity: Verbosity = Verbosity.NORMAL
    execution: Execution = field(default_factory=Execution)
    without_test: bool = False
    after_evaluation: Callable[[int, float | None], None] | None = None
