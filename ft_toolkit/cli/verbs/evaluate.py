"""`ftk evaluate`: score a finished model on other rows."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import (
    BaseOption,
    Columns,
    ModelArgument,
    Quiet,
    ReadingOption,
    SplitChoice,
    Verbose,
    parse_columns,
    parse_reading,
    verbosity_of,
)
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.run_folder import is_local
from ft_toolkit.core.verbosity import Verbosity


def evaluate(
    model: ModelArgument,
    data: Annotated[str, typer.Option(metavar="FILE|CARD", help="The rows: a data file, or the name of a data card.")],
    split: Annotated[
        SplitChoice, typer.Option(help="Name of the split in the results; for a data card, the split to read.")
    ] = "test",
    column: Columns = None,
    reading: ReadingOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column that says which rows belong together; the intervals account for it. Default: as in the training run.",
        ),
    ] = None,
    label_separator: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Text between several labels of a cell. Default: as in the training run."),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Also show the scores per value of this column; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The evaluation folder. Default: evaluations/NAME, or NAME-2, ... if it exists.")
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Also run the robustness check: answers that change with typos, other case, names and genders.",
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(min=100, help="Bootstrap resamples for the 95% intervals. Default: as in the training run."),
    ] = None,
    base: BaseOption = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Score a finished model on other rows, and write a report.

    \b
    Examples:
      ftk evaluate runs/demo --data new_rows.csv
      ftk evaluate runs/demo --data support_inbox --split validation --robustness
      ftk evaluate owner/model --data new_rows.csv --column text=review --slice source
    """
    from ft_toolkit.core.claim import is_complete
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.cards import load_card
    from ft_toolkit.data.local_files import check_file, is_file_name
    from ft_toolkit.data.source_rows import check_split

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    columns = parse_columns(column)
    how_to_read = parse_reading(reading)
    if is_file_name(data):
        check_file(Path(data), how_to_read)
    else:
        check_split(load_card(data), split)
    command = shlex.join(["ftk", *sys.argv[1:]])
    if is_complete(output, command):
        print(f"note: {output} is already complete")
        return
    check_folder(output, resume=False)
    is_local(model)  # raises UsageError for a name that is neither a folder nor a Hub id
    if verbosity >= Verbosity.NORMAL:  # before the heavy libraries, so that the first output comes within a second
        print(f"evaluate   {model} on {data}", flush=True)
    load_libraries(verbosity)
    from ft_toolkit.report.console import print_results
    from ft_toolkit.runs.evaluate import EvaluationRequest, evaluate_model
    from ft_toolkit.training.tracking import Display

    request = EvaluationRequest(
        model,
        data,
        split=split,
        columns=columns,
        reading=how_to_read,
        group=group,
        slices=slices or [],
        output=output,
        robustness=robustness,
        samples=samples,
        command=command,
        base=base,
        label_separator=label_separator,
    )
    print_results(evaluate_model(request, Display(Console(), enabled=True, verbosity=verbosity)), Console())


VERB = Verb(order=30, command=evaluate)
