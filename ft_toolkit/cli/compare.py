"""`ftk compare`: compare finished runs, without loading a model."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import Json, Split, check_targets
from ft_toolkit.core.errors import UsageError


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Two or more run folders; the first is the base of the comparison.")
    ],
    base: Annotated[Path | None, typer.Option(help="Another run to hold all others against.")] = None,
    metric: Annotated[str | None, typer.Option(help="Compare by this metric. Default: the base's main metric.")] = None,
    split: Split = None,
    slice_by: Annotated[
        list[str] | None, typer.Option("--slice", help="Also compare per value of this column, or per 'length'.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write a page, .html.")] = None,
    json_file: Json = None,
) -> None:
    """Compare finished runs on the same rows: what differs, and whether the difference is shown."""
    from ft_toolkit.core.files import write_json
    from ft_toolkit.evaluation.compare.comparison import compare_runs
    from ft_toolkit.evaluation.compare.finished_runs import read_runs
    from ft_toolkit.report.comparison import print_comparison, write_comparison

    if output is not None and output.suffix != ".html":
        raise UsageError(f"--output {output}: a name that ends in .html is needed")
    check_targets(output, json_file)
    if base is not None:
        others = [run for run in runs if run.resolve() != base.resolve()]
        runs = [base, *others]
    comparison = compare_runs(read_runs(runs, split), metric=metric, columns=slice_by or [])
    print_comparison(comparison)
    if output is not None:
        write_comparison(output, comparison, shlex.join(["ftk", *sys.argv[1:]]))
        print(f"page: {output}")
    if json_file is not None:
        write_json(json_file, comparison.as_json())
