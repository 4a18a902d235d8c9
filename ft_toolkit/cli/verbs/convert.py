"""`ftk convert`: write the rows of a data file as JSON lines."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import Columns, ReadingOption, parse_columns, parse_reading
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError, did_you_mean, one_of


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A data file, a folder, or a pattern such as 'train-*.csv'.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .jsonl.")],
    task: Annotated[
        str | None,
        typer.Option(help="Write the columns of this task, such as ner, and check the rows. Default: all columns."),
    ] = None,
    column: Columns = None,
    reading: ReadingOption = None,
) -> None:
    """Write the rows of a data file as JSON lines.

    Reads the same files as 'ftk run': tables, JSON, CoNLL, and exports of annotation tools, also compressed.

    \b
    Examples:
      ftk convert export.json rows.jsonl --task ner
      ftk convert reviews.xlsx rows.jsonl --task text_classification --column text=Review --column label=Stars
      ftk convert old.csv rows.jsonl --reading encoding=cp1251
    """
    from ft_toolkit.data.convert import convert as convert_file
    from ft_toolkit.tasks import find_tasks

    tasks = find_tasks()
    if task is not None and task not in tasks:
        raise UsageError(f"--task {task}: unknown task; allowed: {one_of(tasks)}.{did_you_mean(task, tasks)}")
    converted = convert_file(
        Path(source),
        target,
        task=None if task is None else tasks[task],
        columns=parse_columns(column),
        reading=parse_reading(reading),
    )
    for note in converted.notes:
        print(f"note: {note}")
    n_rows = len(converted.rows)
    print(f"wrote {target} ({n_rows:,} row{'' if n_rows == 1 else 's'}, read as {converted.table.format})")


VERB = Verb(order=125, command=convert)
