"""`ftk compare`: compare finished runs, without loading a model."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import Json, Split, check_output_folders
from ft_toolkit.cli.completion import complete_run
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more run folders. The others are compared with the first.", autocompletion=complete_run
        ),
    ],
    base: Annotated[
        Path | None, typer.Option(help="Compare with this run instead of the first.", autocompletion=complete_run)
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to compare. Default: the main metric of the base run.")
    ] = None,
    split: Split = None,
    slice_by: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Also compare per value of this column, or per 'length'."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write an HTML page to this file.")] = None,
    json_file: Json = None,
) -> None:
    """Compare finished runs, and test whether they differ.

    \b
    Examples:
      ftk compare runs/demo runs/demo-2
      ftk compare runs/a runs/b runs/c --metric f1_macro --output comparison.html
    """
    from ft_toolkit.core.files import write_json
    from ft_toolkit.evaluation.compare.comparison import compare_runs
    from ft_toolkit.evaluation.compare.finished_runs import read_runs
    from ft_toolkit.report.comparison import print_comparison, write_comparison

    if output is not None and output.suffix != ".html":
        raise UsageError(f"--output {output}: the name must end in .html")
    check_output_folders(output, json_file)
    if base is not None:
        others = [run for run in runs if run.resolve() != base.resolve()]
        runs = [base, *others]
    comparison = compare_runs(read_runs(runs, split), metric=metric, columns=slice_by or [])
    print_comparison(comparison)
    if output is not None:
        write_comparison(output, comparison, shlex.join(["ftk", *sys.argv[1:]]))
        print(f"page: {output.resolve().as_uri()}")
    if json_file is not None:
        write_json(json_file, comparison.as_json())


VERB = Verb(order=40, command=compare)
