"""`ftk predict`: run a finished model on texts."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import parse_columns
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.core.run_folder import is_local


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
    from ft_toolkit.inference import predict as prediction

    columns = parse_columns(column)
    prediction.check_output(output)
    is_local(model)  # refuses what is neither a folder nor a Hub id
    rows = prediction.read_rows(text, input_file)
    load_libraries()
    prediction.predict(model, rows, columns, output)
