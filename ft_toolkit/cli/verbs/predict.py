"""`ftk predict`: run a finished model on texts."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import (
    BaseOption,
    Columns,
    ExecutorOption,
    ExecutorOptions,
    ModelArgument,
    Parallel,
    ReadingOption,
    check_output_folders,
    parse_columns,
    parse_execution,
    parse_reading,
)
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import is_local
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.runs.executors import LOCAL, Execution


def predict(
    model: ModelArgument,
    text: Annotated[
        str | None, typer.Argument(help="A text. Default: --input, or standard input with a text per line.")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Rows: txt (a text per line), csv, json, parquet or another format; or a folder of such files.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .jsonl or .csv; for a folder of files, a folder. Default: JSON lines on standard output."
        ),
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
    executor: ExecutorOption = LOCAL,
    parallel: Parallel = None,
    executor_option: ExecutorOptions = None,
) -> None:
    """Predict with a finished model.

    \b
    Examples:
      ftk predict runs/demo "Where is my order?"
      ftk predict runs/demo --input new.csv --column text=review --output predictions.csv
      ftk predict runs/demo --input huge.jsonl --output predictions.jsonl --resume
      ftk predict runs/teacher --input new.jsonl --with-inputs --output soft.jsonl
      ftk predict runs/demo --input shards/ --output predictions/ --parallel 4
      cat texts.txt | ftk predict owner/model > predictions.jsonl
      ftk predict runs/writer "Once upon a time" --stream
    """
    from ft_toolkit.inference import predict as prediction
    from ft_toolkit.runtime.exported_model import is_exported_graph

    columns = parse_columns(column)
    execution = parse_execution(executor, parallel, executor_option)
    if input_file is not None and output is not None and input_file.is_dir() and not output.suffix:
        if stream or text is not None:
            raise UsageError("a folder of files excludes --stream and a text; remove them")
        is_local(model)
        how_to_read = base, parse_reading(reading)
        _predict_folder(
            (model, input_file, output), columns, how_to_read, execution, resume=resume, with_inputs=with_inputs
        )
        return
    if execution != Execution():
        raise UsageError(
            "--executor and --parallel require a folder of files as --input, and a folder as --output; remove them"
        )
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


def _predict_folder(
    paths: tuple[str, Path, Path],
    columns: dict[str, str],
    how: tuple[str | None, Reading | None],
    execution: Execution,
    *,
    resume: bool,
    with_inputs: bool,
) -> None:
    """Predict the files of a folder. `paths` are the model, --input and --output, and `how` are --base and --reading."""
    from ft_toolkit.runs.predict_shards import ShardRequest, predict_shards

    load_libraries()
    words = [word for word in sys.argv[1:] if word != "--resume"]
    resume_with = shlex.join(["ftk", *words, "--resume"])
    request = ShardRequest(*paths, columns, resume_with, *how, resume, execution, with_inputs)
    predict_shards(request, lambda line: print(line, file=sys.stderr, flush=True))


VERB = Verb(order=20, command=predict)
