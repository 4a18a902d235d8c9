"""`ftk report`: write the page and the model card of a finished folder again."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.completion import complete_run
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.verbosity import Verbosity


def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="A finished folder of ftk run, evaluate, ensemble, export, folds, sweep, scale or best.",
            autocompletion=complete_run,
        ),
    ],
) -> None:
    """Write the report page and model card of a finished run again.

    They are made from the other files of the folder, for example after an update of the toolkit, or if they were deleted. No
    score is computed again.

    \b
    Examples:
      ftk report runs/demo
      ftk report runs/search
    """
    from ft_toolkit.core.errors import UsageError
    from ft_toolkit.core.run_lock import RunLock

    if not run.is_dir():
        raise UsageError(f"{run}: run folder not found")
    load_libraries(Verbosity.NORMAL)
    from ft_toolkit.report.rewrite import rewrite_report

    with RunLock(run):
        for path in rewrite_report(run):
            print(f"wrote {path}")


VERB = Verb(order=66, command=report)
