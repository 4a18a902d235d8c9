"""`ftk init`: write the first recipe for a data file."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ft_toolkit.cli.arguments import parse_columns, print_columns
from ft_toolkit.cli.verb import Verb

if TYPE_CHECKING:
    from ft_toolkit.runs.first_recipe import FirstRecipe

# Labels that are shown; further labels are counted.
_MOST_LABELS = 12
_CELL = 48


def init(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [SECTION.KEY=VALUE]...",
            help="A data file; files with train, dev or test in their names; or a folder with such files. Settings go into the "
            "recipe, such as data.reading.encoding=cp1251.",
        ),
    ],
    task: Annotated[str | None, typer.Option(help="The task, such as ner. Default: chosen by the columns.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The new recipe. Default: the name of the data file with the ending .yaml.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model: a Hub id, a folder, or package:NAME/FOLDER. Default: chosen by the language."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=NAME",
            help="A column of the task and its name in the file, such as label=stars; repeatable.",
        ),
    ] = None,
) -> None:
    """Write the first recipe for a data file.

    The rows determine the task, the columns, the model and the splits. The command prints the reasons, the number of rows per
    label, and warnings about the rows. 'ftk run RECIPE' then trains.

    \b
    Examples:
      ftk init reviews.csv
      ftk init train.tsv dev.tsv test.tsv --output sentiment.yaml
      ftk init survey.csv data.reading.encoding=cp1251 training.num_train_epochs=5
      ftk init messages.jsonl --task text_classification --column label=topic
    """
    from ft_toolkit.core.files import write_file
    from ft_toolkit.recipe.document import settings_of
    from ft_toolkit.runs.first_recipe import InitRequest, plan_first_recipe
    from ft_toolkit.tasks import find_tasks

    settings = [word for word in files if _is_setting(word)]
    request = InitRequest(
        [word for word in files if word not in settings],
        task,
        model,
        output,
        parse_columns(column),
        settings_of(settings),
    )
    first = plan_first_recipe(request, find_tasks())
    _print_files(first)
    _print_task(first, shlex.join(files))
    _print_rows(first)
    for warning in first.warnings:
        print(f"note: {warning}")
    write_file(first.path, first.text)
    name = shlex.quote(str(first.path))
    print(f"\nwrote {first.path}\nnext: check it with 'ftk run {name} --dry-run', and train with 'ftk run {name}'")


def _is_setting(word: str) -> bool:
    """Return whether a word is a setting rather than a file."""
    from ft_toolkit.recipe.sections import Recipe

    section, _, key = word.partition("=")[0].partition(".")
    return section in Recipe.model_fields and bool(key) and "=" in word


def _print_files(first: "FirstRecipe") -> None:
    """Print the files, and a table of the columns of the training rows."""
    from ft_toolkit.data.formats.csv import DELIMITER_TITLES

    facts = first.training_file
    details = [facts.format, facts.compression, facts.encoding]
    if facts.delimiter is not None:
        details.append(f"columns separated by {DELIMITER_TITLES.get(facts.delimiter, repr(facts.delimiter))}")
    for split, file in first.files.items():
        print(f"{split}: {file}" + (f" ({', '.join(filter(None, details))})" if split == "train" else ""))
    roles = first.guess.file_columns
    rows = [["column", "used as", "values", "missing", "distinct", "example"]]
    for column in first.table.columns:
        example = " ".join(str(column.values[0]).split()) if column.values else ""
        rows.append(
            [
                column.name,
                roles.get(column.name, "-"),
                column.kind,
                f"{column.n_missing:,}",
                f"{column.n_distinct:,}",
                example if len(example) <= _CELL else f"{example[: _CELL - 3]}...",
            ]
        )
    print()
    print_columns(rows)


def _print_task(first: "FirstRecipe", files: str) -> None:
    """Print the task and the model with the reasons, and how to choose another one."""
    print(f"\ntask: {first.task.name}")
    for reason in first.guess.reasons:
        print(f"  because {reason}")
    for alternative in first.guess.alternatives:
        print(f"  alternative: {alternative}")
    for name, guess in first.others.items():
        print(f"  other task: {name} ({'; '.join(guess.reasons)}). To choose it: ftk init {files} --task {name}")
    print(f"model: {first.model.name}, {first.model.reason}")


def _print_rows(first: "FirstRecipe") -> None:
    """Print the number of rows per split and, below it, per label."""
    splits = list(first.data.splits)
    rows = [["rows", *splits], ["all", *(f"{len(first.data.splits[split]):,}" for split in splits)]]
    for label, counts in list(first.labels.items())[:_MOST_LABELS]:
        rows.append([label, *_counts(counts, splits)])
    print()
    print_columns(rows)
    if len(first.labels) > _MOST_LABELS:
        print(f"... and {len(first.labels) - _MOST_LABELS} more labels")
    print()


def _counts(counts: Mapping[str, int], splits: Sequence[str]) -> list[str]:
    return [f"{counts[split]:,}" for split in splits]


VERB = Verb(order=5, command=init)
