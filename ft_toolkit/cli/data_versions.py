"""`ftk data card`, `ftk data check` and `ftk data diff`: document a data set, and find out whether it changed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ft_toolkit.cli.arguments import Columns, parse_columns
from ft_toolkit.cli.data_sources import read_sources
from ft_toolkit.cli.questions import ask, can_ask
from ft_toolkit.core.diff_records import DiffResults
from ft_toolkit.core.errors import GateError, UsageError
from ft_toolkit.core.hub_names import language as check_language
from ft_toolkit.core.hub_names import licence as check_licence

TaskOption = Annotated[str | None, typer.Option(help="The task, such as ner. Default: chosen by the columns.")]
# The seed of the permutations of `ftk data diff`.
_SEED = 13


def card(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Data files as for 'ftk init', or their folder.")
    ],
    task: TaskOption = None,
    column: Columns = None,
    title: Annotated[str | None, typer.Option(help="The display name. Default: the name of the folder.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="The licence, as a Hub identifier such as cc-by-4.0.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="An ISO 639 code of the language of the texts; may be repeated.")
    ] = None,
) -> None:
    """Write a data card for files: README.md in their folder, with the metadata of the Hub.

    The card has the columns, splits, labels, lengths and faults, and hashes of the rows. On a terminal, the command asks for
    the rest; otherwise the card marks the open questions. Recipes read the card with data.card=FOLDER.

    \b
    Examples:
      ftk data card reviews/train.csv reviews/test.csv
      ftk data card reviews --license cc-by-4.0 --language en
    """
    from ft_toolkit.runs.data_card import QUESTIONS, CardFacts, check_no_card, write_data_card
    from ft_toolkit.runs.first_recipe import InitRequest

    first = Path(files[0])
    check_no_card(first if first.is_dir() else first.parent)
    source = read_sources(files, InitRequest([], task, None, columns=parse_columns(column)))
    name = title or (first if first.is_dir() else first.absolute().parent).resolve().name
    try:
        checked_licence = check_licence(licence) if licence else None
        languages = tuple(map(check_language, language or ()))
    except ValueError as error:
        raise UsageError(f"ftk data card: {error}") from None
    answers: dict[str, str] = {}
    if can_ask():
        checked_licence = checked_licence or ask("Licence, such as cc-by-4.0", check_licence)
        languages = languages or ask("Languages, such as en de", _check_languages) or ()
        answers = {key: ask(question, str) or "" for key, question in QUESTIONS.items()}
    checked = CardFacts(name, checked_licence, languages, answers)
    path = write_data_card(source, checked)
    n_open = path.read_text(encoding="utf-8").count("**Question:**")
    print(f"wrote {path}" + (f", with {n_open} open questions" if n_open else ""))
    print(f"next: ftk data check {path.parent}")


def _check_languages(codes: str) -> tuple[str, ...]:
    return tuple(map(check_language, codes.split()))


def check(
    name: Annotated[str, typer.Argument(metavar="CARD", help="The name of a data card, or its folder or README.md.")],
) -> None:
    """Check whether the rows still match a data card; the exit code is 3 if they do not."""
    from ft_toolkit.data.cards import load_card
    from ft_toolkit.data.source_rows import card_differences

    card = load_card(name)
    if differences := card_differences(card):
        raise GateError(
            f"data card '{card.name}': {'; '.join(differences)}. Restore the files, or write a new card with 'ftk data card'"
        )
    without = [split for split, facts in card.block.splits.items() if facts.labelled and facts.fingerprint is None]
    print(f"{card.name}: the rows of {', '.join(card.block.splits)} match the card")
    if without:
        print(f"note: the card has no fingerprint of {', '.join(without)}; only the number of rows was compared")


def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="The first version: a recipe, a data card, a file or a folder.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The second version.")],
    task: TaskOption = None,
    column: Columns = None,
    output: Annotated[Path | None, typer.Option(help="A new JSON file for the result.")] = None,
) -> None:
    """Show what changed between two versions of a data set.

    Counts rows that were added, removed, relabelled, and moved to another split, and tests whether the added and the removed
    rows have other lengths, words or labels. Each file is read as by 'ftk data audit'.

    \b
    Examples:
      ftk data diff old/reviews.csv new/reviews.csv
      ftk data diff support_inbox my_inbox --output diff.json
    """
    from ft_toolkit.core.json_records import write_record
    from ft_toolkit.data.drift import compare_versions
    from ft_toolkit.data.faults.fault import AuditedRows
    from ft_toolkit.runs.first_recipe import InitRequest

    if output is not None and output.exists():
        raise UsageError(f"--output {output} exists; choose another name")
    request = InitRequest([], task, None, columns=parse_columns(column))
    old, new = read_sources([first], request), read_sources([second], request)
    if old.task is not new.task:
        raise UsageError(f"{first} is read for {old.task.name}, and {second} for {new.task.name}; set --task")
    rows = [AuditedRows(source.data, source.task, source.recipe.task) for source in (old, new)]
    results = compare_versions(rows[0], rows[1], (first, second), old.task.name, _SEED)
    _print_changes(results)
    if output is not None:
        write_record(output, results)
        print(f"wrote {output}")


def _print_changes(results: DiffResults) -> None:
    console = Console()
    table = Table("", "rows", box=None)
    table.columns[1].justify = "right"
    counts = {
        "rows of A": results.rows[0],
        "rows of B": results.rows[1],
        "the same in both": results.same,
        "relabelled": results.relabelled,
        "added": results.added,
        "removed": results.removed,
        "in another split": results.moved,
    }
    for title, n in counts.items():
        table.add_row(title, f"{n:,}")
    console.print(table, highlight=False, markup=False)
    for title, examples in results.examples.items():
        for example in examples:
            console.print(f"  {title}: {example}", highlight=False, markup=False, soft_wrap=True)
    changed = {label: n for label, n in results.labels.items() if n[0] != n[1]}
    for label, (before, after) in list(changed.items())[:12]:
        console.print(f"label {label}: {before:,} -> {after:,} rows", highlight=False, markup=False, soft_wrap=True)
    for test in results.tests:
        verdict = "differ" if test.adjusted_p <= 0.05 else "no difference was found"
        console.print(
            f"{test.groups}, {test.name}: {verdict} ({test.statistic} {test.value:.3f}, p = {test.p:.3f}, adjusted "
            f"{test.adjusted_p:.3f}, n = {test.n[0]:,} and {test.n[1]:,})",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if results.added and not any(test.groups.startswith("added") for test in results.tests):
        console.print(
            "no test of the added rows: at least 20 added rows and 20 rows in the first version are required",
            highlight=False,
        )
