"""Arguments and options that several verbs share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from ft_toolkit.cli.completion import complete_recipe, complete_run, complete_setting
from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.core.yaml12 import YamlError, parse_value
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.runs.executors import Execution

SplitChoice = Literal["test", "validation"]

RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A recipe file, or the name of a shipped recipe ('ftk recipes').", autocompletion=complete_recipe
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SECTION.KEY=VALUE]...",
        help="Settings that override the recipe, such as training.seed=1.",
        autocompletion=complete_setting,
    ),
]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a finished run.", autocompletion=complete_run)]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A run folder, a model folder, or a model on the Hub: OWNER/NAME or OWNER/NAME@REVISION.",
        autocompletion=complete_run,
    ),
]
RunFolderOption = Annotated[
    Path | None, typer.Option(help="The run folder. Default: runs/NAME, or NAME-2, ... if it exists.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the interrupted run in the folder of --output.")]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes on this machine; each has a full copy of the model (DDP)."),
]
Split = Annotated[
    SplitChoice | None, typer.Option(help="The split to use. Default: test, or validation if there are no test rows.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=NAME",
        help="A column of the task and its name in the file, such as text=review, or label=billing,delivery for one 0/1 column "
        "per label; repeatable. Default: the names of the training run.",
    ),
]
ReadingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--reading",
        metavar="KEY=VALUE",
        help="How to read the file, such as encoding=cp1251 or delimiter=';' (the settings of data.reading); repeatable.",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option("--base", metavar="FOLDER", help="The base model of an adapter, if it was moved after the training."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the results to this file as JSON.")]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Where the runs are computed: local, submitit (Slurm) or ray.",
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option(
        min=1, help="Runs at a time. Default: 1 on this machine; no limit on a cluster, which has its own queue."
    ),
]
ExecutorOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--executor-option",
        metavar="KEY=VALUE",
        help="A parameter of the executor, such as slurm_partition=gpu, timeout_min=600 or num_gpus=1; repeatable.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more, such as the speed-ups in use.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and results.")]


def verbosity_of(*, verbose: bool, quiet: bool) -> Verbosity:
    """Return the verbosity that -v and -q set. Raises UsageError if both are given."""
    if verbose and quiet:
        raise UsageError("--verbose and --quiet exclude each other; remove one")
    return Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL


def parse_columns(pairs: list[str] | None) -> dict[str, str]:
    """Return the values of --column by column. Raises UsageError."""
    columns = {}
    for pair in pairs or []:
        column, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair}: must be COLUMN=NAME, such as text=review")
        columns[column] = name
    return columns


def parse_reading(pairs: list[str] | None) -> Reading | None:
    """Return the settings of --reading, None without any. Raises UsageError."""
    values = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or key not in Reading.model_fields:
            hint = did_you_mean(key, Reading.model_fields)
            raise UsageError(
                f"--reading {pair}: must be KEY=VALUE; allowed keys: {one_of(Reading.model_fields)}.{hint}"
            )
        try:
            # a delimiter such as '|' is not a YAML value
            values[key] = text if key in ("delimiter", "encoding", "format", "sheet") else parse_value(text)
        except YamlError as error:
            raise UsageError(f"--reading {pair}: not a YAML value: {error.problem}") from None
    try:
        return Reading.model_validate(values) if values else None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--reading {first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def parse_execution(executor: str, parallel: int | None, pairs: list[str] | None) -> Execution:
    """Return the executor and its options from --executor, --parallel and --executor-option. Raises UsageError."""
    options = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--executor-option {pair}: must be KEY=VALUE, such as slurm_partition=gpu")
        try:
            options[key] = parse_value(text)
        except YamlError as error:
            raise UsageError(f"--executor-option {pair}: not a YAML value: {error.problem}") from None
    execution = Execution(executor, parallel, options)
    execution.check()
    return execution


def check_output_folders(*files: Path | None) -> None:
    """Raise UsageError if the folder of an output file does not exist."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"{file}: folder {file.parent} not found")


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns, without cutting any cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
