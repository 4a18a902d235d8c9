"""ftk predict: what is done with a finished model."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.shared import quiet_libraries
from ft_toolkit.errors import UsageError


def predict(
    model: Annotated[Path, typer.Argument(help="A model folder that 'ftk run' wrote (RUN/model), or the run folder.")],
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

    columns = {}
    for pair in column or []:
        key, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair}: COLUMN=NAME is needed, e.g. text=review")
        columns[key] = name
    prediction.check_output(output)
    if not model.is_dir():
        raise UsageError(f"{model}: no such model folder")
    rows = prediction.read_rows(text, input_file)
    quiet_libraries()
    prediction.predict(model, rows, columns, output)
