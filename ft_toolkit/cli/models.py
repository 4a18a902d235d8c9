"""ftk predict, evaluate and push: what is done with a finished model."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.shared import load_libraries, quiet_hub
from ft_toolkit.errors import UsageError
from ft_toolkit.run_folder import is_local


def predict(
    model: Annotated[
        str, typer.Argument(help="A run folder or its model/, or a pushed model: owner/name, owner/name@revision.")
    ],
    text: Annotated[
        str | None, typer.Argument(help="One text. Without it: --input, or standard input, a text per line.")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Rows: txt (a text per line), csv, tsv, json, jsonl, parquet.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write: .jsonl or .csv. Default: jsonl to standard output.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="COLUMN=NAME, e.g. text=review: which column of the input is which.")
    ] = None,
) -> None:
    """Run a finished model on texts."""
    from ft_toolkit import predict as prediction

    columns = _columns(column)
    prediction.check_output(output)
    is_local(model)  # refuses what is neither a folder nor a Hub id
    rows = prediction.read_rows(text, input_file)
    load_libraries()
    prediction.predict(model, rows, columns, output)


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
    from ft_toolkit.data.cards import load_card
    from ft_toolkit.data.load import check_split, is_file_name
    from ft_toolkit.data.sources import check_file
    from ft_toolkit.run_folder import check_folder

    if split not in ("test", "validation"):
        raise UsageError(f"--split {split}: unknown split; allowed: test, validation")
    columns = _columns(column)
    if is_file_name(data):
        check_file(Path(data))
    else:
        check_split(load_card(data), "test" if split == "test" else "validation")
    check_folder(output, resume=False)
    is_local(model)  # refuses what is neither a folder nor a Hub id
    load_libraries()
    from ft_toolkit.evaluate_model import evaluate_model
    from ft_toolkit.report.console import print_results

    results = evaluate_model(
        model,
        data,
        split="test" if split == "test" else "validation",
        columns=columns,
        slices=slices or [],
        output=output,
        robustness=robustness,
        samples=samples,
        command=shlex.join(["ftk", *sys.argv[1:]]),
        console=Console(),
    )
    print_results(results, Console())


def _columns(pairs: list[str] | None) -> dict[str, str]:
    """Return what --column said. Raises UsageError."""
    columns = {}
    for pair in pairs or []:
        key, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair}: COLUMN=NAME is needed, e.g. text=review")
        columns[key] = name
    return columns


def push(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    repo: Annotated[str, typer.Argument(help="Where to: owner/name.")],
    private: Annotated[
        bool,
        typer.Option("--private/--public", help="Who sees a repository that has to be made; others stay as they are."),
    ] = True,
    revision: Annotated[str | None, typer.Option(help="A branch, made if it is not there. Default: main.")] = None,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose the change instead of making it.")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="Call the commit so, e.g. v1.0.")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Fold the adapter into the weights: needs neither peft nor the base model.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files; send nothing.")] = False,
) -> None:
    """Upload a finished run's model and card to the Hub; pushing again uploads only what has changed."""
    if merged:
        load_libraries()
    quiet_hub()
    from ft_toolkit import hub
    from ft_toolkit.hub_access import Destination

    to = Destination(repo, private, revision, pull_request, tag)
    pushed = hub.push(run, to, merged=merged, say=print, dry_run=dry_run)
    if pushed is not None:
        print(hub.conclusion(pushed))
