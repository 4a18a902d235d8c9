"""Show the audit of a data set (`ftk data audit`): tables on the console, audit.json and review.csv."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.audit_records import AuditResults, write_audit
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import AUDIT_PAGE, REVIEW
from ft_toolkit.core.spreadsheets import no_formula
from ft_toolkit.data.faults.fault import AuditedRows, DataAudit, Fault
from ft_toolkit.report.audit_page import sizes_text, write_audit_page
from ft_toolkit.report.numbers import count
from ft_toolkit.tasks.display.wrong_examples import shorten

_SHOWN_CHARACTERS = 70
_SHOWN_LABELS = 12


def print_audit(audit: DataAudit, console: Console) -> None:
    """Print the size of the data set, its labels, and each kind of fault with an example and the action to take."""
    results, rows = audit.results, audit.rows
    splits = list(results.rows)
    words = results.words
    console.print(
        f"{results.source}: {sizes_text(results)}, read for {results.task}\n"
        f"words per text: median {count(words['median'])}, 95% of the texts at most {count(words['95%'])}, longest "
        f"{count(words['maximum'])}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if results.labels:
        console.print(_label_table(results, splits))
    for note in results.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if not audit.faults:
        console.print("\nno faults found")
        return
    table = Table("fault", "cases", *splits, box=None)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for counts in results.faults:
        table.add_row(counts.title, count(counts.cases), *(count(counts.rows.get(split, 0)) for split in splits))
    console.print()
    console.print(table, highlight=False)
    for fault in audit.faults:
        console.print(
            f"\n{fault.title}\n  example: {_example(fault, rows)}\n  action: {fault.action}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def write_audit_files(folder: Path, audit: DataAudit) -> None:
    """Write audit.json, audit.html and review.csv, a line per row of each case, into a folder.

    In review.csv, a text that a spreadsheet would take for a formula gets a "'" before it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_audit_page(folder / AUDIT_PAGE, audit)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["fault", "case", "split", "id", "answer", "detail", "text"])
    writer.writerows(map(no_formula, line) for line in _review_lines(audit))
    write_file(folder / REVIEW, text.getvalue())
    write_audit(folder, audit.results)


def _review_lines(audit: DataAudit) -> Iterator[list[str]]:
    rows = audit.rows
    for fault in audit.faults:
        for number, case in enumerate(fault.cases, start=1):
            for row in case.rows:
                yield [
                    fault.name,
                    str(number),
                    rows.splits[row],
                    rows.row_id(row),
                    rows.answer(row),
                    case.detail,
                    rows.text(row),
                ]


def _label_table(results: AuditResults, splits: list[str]) -> Table:
    """Return a table of the most frequent labels: their rows in each split."""
    table = Table("label", *splits, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, counts in list(results.labels.items())[:_SHOWN_LABELS]:
        table.add_row(label, *(count(counts.get(split, 0)) for split in splits))
    if len(results.labels) > _SHOWN_LABELS:
        table.caption = f"and {count(len(results.labels) - _SHOWN_LABELS)} more labels"
    return table


def _example(fault: Fault, rows: AuditedRows) -> str:
    """Return some rows of the first case, its detail and the start of its first text."""
    case = fault.cases[0]
    first_of_split = {rows.splits[row]: row for row in reversed(case.rows)}
    shown = sorted({*first_of_split.values(), *case.rows[:2]})
    names = " and ".join(f"{rows.splits[row]} row {rows.row_id(row)}" for row in shown)
    more = f" and {len(case.rows) - len(shown)} more" if len(case.rows) > len(shown) else ""
    detail = f" ({shorten(case.detail, _SHOWN_CHARACTERS)})" if case.detail else ""
    return f"{names}{more}{detail}: {shorten(rows.text(case.rows[0]).strip(), _SHOWN_CHARACTERS)!r}"
