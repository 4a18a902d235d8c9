"""`ftk predict`: run a finished model on texts."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import (
    BaseOption,
    Columns,
    ModelArgument,
    ReadingOption,
    check_output_folders,
    parse_columns,
    parse_reading,
)
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import is_local


def predict(
    model: ModelArgument,
    text: Annotated[
        str | None, typer.Argument(help="A text. Default: --input, or standard input with a text per line.")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Rows: txt (a text per line), csv, json, parquet or another format.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .jsonl or .csv. Default: JSON lines on standard output.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted command with the same --input and --output; finished rows are kept.",
        ),
    ] = False,
    with_inputs: Annotated[
        bool,
        typer.Option(
            "--with-inputs",
            help="Write the columns of the rows and predicted_* columns with all values, such as all probabilities: a file to "
            "train on.",
        ),
    ] = False,
    column: Columns = None,
    reading: ReadingOption = None,
    base: BaseOption = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print a generated text as it is written. For one text, without --output.")
    ] = False,
) -> None:
    """Predict with a finished model.

    \b
    Examples:
      ftk predict runs/demo "Where is my order?"
      ftk predict runs/demo --input new.csv --column text=review --output predictions.csv
      ftk predict runs/demo --input huge.jsonl --output predictions.jsonl --resume
      ftk predict runs/teacher --input new.jsonl --with-inputs --output soft.jsonl
      cat texts.txt | ftk predict owner/model > predictions.jsonl
      ftk predict runs/writer "Once upon a time" --stream
    """
    from ft_toolkit.inference import predict as prediction
    from ft_toolkit.runtime.exported_model import is_exported_graph

    columns = parse_columns(column)
    if resume and (input_file is None or output is None):
        raise UsageError("--resume requires --input FILE and --output FILE, as in the interrupted command")
    prediction.check_output(output)
    check_output_folders(output)
    is_local(model)  # raises UsageError for a name that is neither a folder nor a Hub id
    if stream and (input_file is not None or output is not None or with_inputs):
        raise UsageError(
            "--stream prints the text of one row; remove --input, --output and --with-inputs, and pass the text"
        )
    how = parse_reading(reading)
    rows = prediction.read_rows(text, input_file, how)
    if not is_exported_graph(model):
        load_libraries()
    target = prediction.Target(output, input_file, resume, how, with_inputs)
    if stream:
        prediction.print_stream(model, rows, columns, base)
    else:
        prediction.predict(model, rows, columns, target, base)


VERB = Verb(order=20, command=predict)
