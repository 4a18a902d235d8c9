"""audit.html: the faults of a data set, and a table to decide on each row that has one (templates/review.js)."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ft_toolkit.core.audit_records import AuditResults
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import REVIEW
from ft_toolkit.data.faults.fault import AuditedRows, DataAudit
from ft_toolkit.data.seen_rows import hash_text
from ft_toolkit.report.numbers import count
from ft_toolkit.report.tables import Cell, Table, header
from ft_toolkit.report.templating import load_template
from ft_toolkit.tasks.display.wrong_examples import shorten

# The page has at most this many rows of each kind of fault, and this many characters of each text: 1,000 rows with 600
# characters are 0.7 MB. review.csv has all of them.
_MOST_ROWS, _SHOWN_CHARACTERS = 1000, 600
_SHOWN_LABELS = 100
# Characters that would end the script element, or that are line ends in JavaScript but not in JSON.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Script:
    """A script of a page, and its hash for the Content-Security-Policy. The hash allows this script and no other."""

    text: Markup
    hash: str


@cache
def review_script() -> Script:
    """Return the script that shows the rows to review."""
    text = (Path(__file__).parent / "templates" / "review.js").read_text(encoding="utf-8")
    return Script(Markup(text), f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}")


def write_audit_page(path: Path, audit: DataAudit) -> None:
    """Write the page. It needs no network and no other file."""
    rows, results = audit.rows, audit.results
    shown, cut = _rows_to_review(audit)
    page = load_template("audit.html.j2", autoescape=True).render(
        results=results,
        sizes=sizes_text(results),
        faults=_fault_table(results),
        lengths=_length_table(rows),
        labels=_label_table(results),
        rows=Markup(json.dumps(shown, ensure_ascii=False).translate(_ESCAPES)) if audit.faults else "",
        cut_note=f"Of some kinds, the table has the first {count(_MOST_ROWS)} rows; {REVIEW} has all." if cut else "",
        script=review_script(),
    )
    write_file(path, page)


def sizes_text(results: AuditResults) -> str:
    """Return the number of rows, in total and per split."""
    sizes = ", ".join(f"{split} {count(n)}" for split, n in results.rows.items())
    return f"{count(sum(results.rows.values()))} rows ({sizes})"


def _rows_to_review(audit: DataAudit) -> tuple[dict[str, Any], bool]:
    """Return the data of the script, and whether rows are left out."""
    position: dict[int, int] = {}
    faults, cut = [], False
    for fault in audit.faults:
        cases, n = [], 0
        for case in fault.cases:
            if n >= _MOST_ROWS:
                cut = True
                break
            part = case.rows[: _MOST_ROWS - n]
            cut |= len(part) < len(case.rows)
            n += len(part)
            places = [position.setdefault(row, len(position)) for row in part]
            cases.append({"rows": places, "detail": case.detail, "suggestion": case.suggestion})
        faults.append({"name": fault.name, "title": fault.title, "cases": cases})
    return {
        "source": audit.results.source,
        "fingerprint": audit.results.fingerprint,
        "labels": sorted({label for _, label in audit.rows.each_label()}) if audit.rows.has_one_label else [],
        "rows": [_row(audit.rows, row) for row in position],
        "faults": faults,
    }, cut


def _row(rows: AuditedRows, row: int) -> dict[str, Any]:
    return {
        "split": rows.splits[row],
        "source_split": rows.source_split(row),
        "id": rows.row_id(row),
        "hash": hash_text(int(rows.keys[row])),
        "text": shorten(rows.text(row).strip(), _SHOWN_CHARACTERS),
        "answer": shorten(rows.answer(row), _SHOWN_CHARACTERS),
        "label": _label(rows, row) if rows.has_one_label else None,
    }


def _label(rows: AuditedRows, row: int) -> str:
    return rows.labels(row)[0]


def _fault_table(results: AuditResults) -> Table:
    splits = list(results.rows)
    cells = [
        [
            Cell(fault.title),
            Cell(count(fault.cases), is_number=True),
            *(Cell(count(fault.rows.get(split, 0)), is_number=True) for split in splits),
        ]
        for fault in results.faults
    ]
    return Table("Faults", header(["kind", "cases", *splits], range(1, len(splits) + 2)), cells)


def _length_table(rows: AuditedRows) -> Table:
    """Return the number of texts by their number of words, in classes of doubling width."""
    counts = Counter(len(text.split()).bit_length() for _, text in rows.each_text())
    names = {
        bits: "0" if bits == 0 else "1" if bits == 1 else f"{count(2 ** (bits - 1))} to {count(2**bits - 1)}"
        for bits in range(min(counts), max(counts) + 1)
    }
    return _bars("words", {name: counts[bits] for bits, name in names.items()}, "rows")


def _label_table(results: AuditResults) -> Table | None:
    """Return the number of rows of the most frequent labels; None without labels."""
    totals = {label: sum(splits.values()) for label, splits in results.labels.items()}
    if not totals:
        return None
    first = dict(sorted(totals.items(), key=lambda item: -item[1])[:_SHOWN_LABELS])
    more = len(totals) - len(first)
    return _bars("label", first, "rows", f"and {count(more)} more labels" if more else "")


def _bars(name: str, counts: Mapping[str, int], unit: str, note: str = "") -> Table:
    """Return a table with a bar behind each count, relative to the largest one."""
    largest = max(counts.values())
    rows: Sequence[list[Cell]] = [
        [Cell(key), Cell(count(n), is_number=True, bar=n / largest)] for key, n in counts.items()
    ]
    return Table(name, header([name, unit], range(1, 2)), list(rows), note)
