"""`ftk label-next`: choose the unlabelled rows to label next."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    Columns,
    Quiet,
    ReadingOption,
    RunArgument,
    Verbose,
    check_output_folders,
    parse_columns,
    parse_reading,
    verbosity_of,
)
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError


def label_next(
    run: RunArgument,
    pool: Annotated[Path, typer.Argument(help="A file with unlabelled rows: csv, jsonl, txt or another format.")],
    k: Annotated[int, typer.Option("-k", "--rows", min=1, help="The number of rows to choose.")] = 100,
    by: Annotated[
        Literal["uncertainty", "diversity", "both"],
        typer.Option(
            help="Rows of which the model is not sure, rows that differ from each other, or uncertain rows that differ."
        ),
    ] = "both",
    output: Annotated[Path, typer.Option(help="New file for the chosen rows: .csv or .jsonl.")] = Path(
        "label_next.csv"
    ),
    column: Columns = None,
    reading: ReadingOption = None,
    curve: Annotated[
        Path | None,
        typer.Option(help="The folder of a learning curve ('ftk scale'). Default: RUN-scale, if it exists."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The seed of the clusters.")] = 0,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Choose the unlabelled rows to label next.

    Training rows and repeated rows are left out. The expected gain comes from the learning curve of the run.

    \b
    Examples:
      ftk label-next runs/demo unlabelled.csv -k 100
      ftk label-next runs/demo unlabelled.jsonl --by uncertainty --output next.jsonl
    """
    from ft_toolkit.data.local_files import check_file
    from ft_toolkit.inference.predict import check_output

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    columns, how_to_read = parse_columns(column), parse_reading(reading)
    check_output(output)
    check_output_folders(output)
    if output.exists():
        raise UsageError(f"{output} exists, and may contain labels. Choose another --output, or remove it")
    check_file(pool, how_to_read)
    load_libraries(verbosity)
    from ft_toolkit.runs.label_next import LabelRequest, choose_next_rows
    from ft_toolkit.training.tracking import Display

    request = LabelRequest(run, pool, k, by, output, columns, how_to_read, curve, seed)
    choose_next_rows(request, Display(Console(), enabled=True, verbosity=verbosity))


VERB = Verb(order=81, command=label_next)
