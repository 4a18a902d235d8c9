"""`ftk export`: write a finished run in another format."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Quiet, RunArgument, Verbose, verbosity_of
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError


def export(
    run: RunArgument,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the export; new, or empty.")],
    export_format: Annotated[
        Literal["transformers", "onnx", "onnx-int8"],
        typer.Option(
            "--format",
            help="transformers: a plain folder with the adapter merged. onnx: a graph that runs without torch. onnx-int8: the "
            "graph with 8-bit weights.",
        ),
    ] = "onnx",
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Fail with exit code 3 unless a larger drop of the score on the validation rows is excluded at 95%.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="With --max-drop: the metric to compare. Default: the main metric.")
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Measure the speed of the run and of the export.")
    ] = True,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Export a finished run, and certify how close the two are.

    The folder works like the folder of a run: predict, evaluate, compare, gate and push accept it.

    \b
    Examples:
      ftk export runs/demo exports/demo --format onnx-int8 --max-drop 0.005
      ftk export runs/lora exports/merged --format transformers
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.export.source import find_source

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    if metric is not None and max_drop is None:
        raise UsageError("--metric requires --max-drop")
    check_folder(output, resume=False)
    find_source(run, export_format)  # raises UsageError before the heavy libraries are loaded
    load_libraries(verbosity)
    from ft_toolkit.export.certificate import AllowedDrop
    from ft_toolkit.export.make_export import ExportRequest, make_export
    from ft_toolkit.training.tracking import Display

    drop = None if max_drop is None else AllowedDrop(max_drop, metric)
    request = ExportRequest(run, output, export_format, drop, speed, shlex.join(["ftk", *sys.argv[1:]]))
    make_export(request, Display(Console(), enabled=True, verbosity=verbosity))


VERB = Verb(order=67, command=export)
