"""`ftk evaluate`: score a finished model on new rows."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import parse_columns
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import is_local


def evaluate(
    model: Annotated[
        str, typer.Argument(help="A run folder or its model/, or a model on the Hub: owner/name[@revision].")
    ],
    data: Annotated[str, typer.Option(help="The rows: a file as for a run, or the name of a data card.")],
    split: Annotated[
        str, typer.Option(help="What the rows are: test or validation; of a data card, which split to read.")
    ] = "test",
    column: Annotated[
        list[str] | None, typer.Option(help="COLUMN=NAME, e.g. text=review. Default: the names of the model's run.")
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="A column of the file by whose values the scores are also shown."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The folder. Default: evaluations/NAME, with the next free number.")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also under typos, case, other names and genders: which answers flip.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option(min=100, help="Resamples for the 95% intervals. Default: as the model's run.")
    ] = None,
) -> None:
    """Score a finished model on new rows, with intervals, in the form of a run's scores."""
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.data.cards import load_card
    from ft_toolkit.data.files import check_file, is_file_name
    from ft_toolkit.data.load import check_split

    if split not in ("test", "validation"):
        raise UsageError(f"--split {split}: unknown split; allowed: test, validation")
    columns = parse_columns(column)
    if is_file_name(data):
        check_file(Path(data))
    else:
        check_split(load_card(data), "test" if split == "test" else "validation")
    check_folder(output, resume=False)
    is_local(model)  # refuses what is neither a folder nor a Hub id
    load_libraries()
    from ft_toolkit.report.console import print_results
    from ft_toolkit.runs.evaluate import EvaluationRequest, evaluate_model
    from ft_toolkit.training.tracking import Display

    request = EvaluationRequest(
        model,
        data,
        split="test" if split == "test" else "validation",
        columns=columns,
        slices=slices or [],
        output=output,
        robustness=robustness,
        samples=samples,
        command=shlex.join(["ftk", *sys.argv[1:]]),
    )
    print_results(evaluate_model(request, Display(Console(), enabled=True)), Console())
