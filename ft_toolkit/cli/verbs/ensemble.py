"""`ftk ensemble`: average the predictions of finished runs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Quiet, Verbose, verbosity_of
from ft_toolkit.cli.completion import complete_run
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb


def ensemble(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of finished runs. The folder of a multi-seed run gives all of its seeds.",
            autocompletion=complete_run,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the ensemble. Default: runs/ensemble, or runs/ensemble-2, ... if it exists."),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Average the predictions of finished runs as one model.

    The runs must have the same task and labels, and the same validation and test rows. The folder works like the folder of a
    run: predict, evaluate, compare, gate and push accept it.

    \b
    Examples:
      ftk ensemble runs/seeds --output runs/together
      ftk ensemble runs/bert runs/roberta runs/deberta --output runs/together
    """
    from ft_toolkit.core.claim import is_complete
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.core.run_records import read_results

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    command = shlex.join(["ftk", *sys.argv[1:]])
    if is_complete(output, command):
        print(f"note: {output} is already complete")
        return
    check_folder(output, resume=False)
    for run in runs:
        read_results(run)  # raises UsageError for a folder that is not a finished run
    load_libraries(verbosity)
    from ft_toolkit.report.console import print_results
    from ft_toolkit.runs.ensemble import make_ensemble
    from ft_toolkit.training.tracking import Display

    display = Display(Console(), enabled=True, verbosity=verbosity)
    print_results(make_ensemble(runs, output, command, display), Console())


VERB = Verb(order=65, command=ensemble)
