"""`ftk data`: look at the rows of a data set before training."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from ft_toolkit.cli.arguments import Columns, parse_columns
from ft_toolkit.cli.data_sources import read_sources
from ft_toolkit.cli.data_versions import card, check, diff
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import AUDIT, AUDIT_PAGE, REVIEW

if TYPE_CHECKING:
    from ft_toolkit.runs.data_audit import AuditSource, Steps

data = typer.Typer(
    help="Check, document and compare the rows of data sets.", no_args_is_help=True, rich_markup_mode=None
)


@data.callback()
def group() -> None:
    """Check, document and compare the rows of data sets."""


@data.command()
def audit(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|CARD|FILE... [SECTION.KEY=VALUE]...",
            help="A recipe, a data card, or data files as for 'ftk init'. Settings change the recipe, or the reading of files.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="The task of a data card or of files, such as ner. Default: chosen by the columns."),
    ] = None,
    column: Columns = None,
    label_errors: Annotated[
        bool,
        typer.Option(
            "--label-errors",
            help="Also find labels that are probably wrong, by the embeddings of the model. Loads torch.",
        ),
    ] = False,
    suspects: Annotated[
        int, typer.Option(min=1, max=100_000, help="The number of rows that --label-errors lists at most.")
    ] = 50,
    unknown_tokens: Annotated[
        bool,
        typer.Option(
            "--unknown-tokens",
            help="Also find characters that the tokenizer of the model does not have. Loads torch.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model of --label-errors and --unknown-tokens for files or a data card. Default: as in 'ftk init'."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for audit.html, a page to review rows and to save decisions on them, review.csv and audit.json."
        ),
    ] = None,
    redact: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for copies of the data files with [EMAIL], [PHONE], [IBAN] and [CARD] for personal data."
        ),
    ] = None,
) -> None:
    """Find faults in the rows of a data set.

    Finds texts that two splits share, also nearly equal ones, equal texts with different labels, spellings of a label, empty
    and wrongly decoded texts, texts in another script or language, answers that cut words, and possible personal
    data. Loads no model without --label-errors or --unknown-tokens.

    \b
    Examples:
      ftk data audit reviews.csv
      ftk data audit reviews.yaml --output audit
      ftk data audit reviews.csv --redact redacted
      ftk data audit reviews.yaml --label-errors --output audit
      ftk data audit train.tsv test.tsv --task text_classification --column label=topic
    """
    from ft_toolkit.core.run_folder import check_folder
    from ft_toolkit.report.data_audit import print_audit, write_audit_files
    from ft_toolkit.runs.data_audit import NO_MODEL, audit_rows
    from ft_toolkit.runs.first_recipe import InitRequest

    check_folder(output, resume=False)
    if redact is not None and redact.exists():
        raise UsageError(f"--redact {redact} exists; choose another name")
    needs_model = label_errors or unknown_tokens
    if needs_model:
        load_libraries()
    rows = read_sources(source, InitRequest([], task, model, columns=parse_columns(column)))
    if needs_model and rows.recipe.model.name == NO_MODEL:
        raise UsageError(f"{rows.name} is a data card, which names no model; add --model")
    console = Console()
    with _progress() as report:
        most = suspects if label_errors else None
        command = shlex.join(["ftk", *sys.argv[1:]])
        audited = audit_rows(rows, command, report, most, unknown_tokens=unknown_tokens)
    print_audit(audited, console)
    if output is not None:
        write_audit_files(output, audited)
        print(
            f"\nwrote {output / AUDIT} and {output / REVIEW}, with all rows that have a fault\n"
            f"Page to review them: {(output / AUDIT_PAGE).resolve().as_uri()}"
        )
    elif audited.faults:
        print("\n--output FOLDER writes all rows that have a fault, and a page to review them")
    if redact is not None:
        _redact(rows, redact)


def _redact(rows: "AuditSource", folder: Path) -> None:
    """Write redacted copies of the data files, and print the number of replacements. Raises UsageError and DataError."""
    from ft_toolkit.data.redact import redact_files
    from ft_toolkit.runs.data_audit import data_files

    print()
    for file in redact_files(data_files(rows), folder, rows.recipe.data.reading):
        counts = ", ".join(f"{n:,} {placeholder}" for placeholder, n in file.counts.items())
        print(f"wrote {file.path}: {counts or 'nothing replaced'}")


@contextmanager
def _progress() -> Iterator["Steps"]:
    """Yield a function that shows a progress bar on a terminal."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)
        yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total)


for command in (card, check, diff):
    data.command()(command)

VERB = Verb(order=7, command=data)
