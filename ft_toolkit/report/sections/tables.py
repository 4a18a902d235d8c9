"""The tables that a task adds to a split's scores: per class, the confusion matrix, and whatever else it has to say."""

import math
from dataclasses import dataclass
from typing import Any

from ft_toolkit.report.charts import heat_grid
from ft_toolkit.report.run_files import MISSING, RunFiles, count, number, words
from ft_toolkit.tasks.display.wrong_examples import shorten

# With more labels than this a confusion matrix is shown as a grid without names and a list of its largest entries.
_READABLE_LABELS = 20
_TOP_CONFUSIONS = 15
# Keys of a split's scores that have a place of their own.
_OWN_PLACE = (
    *("n", "metrics", "baselines", "per_class", "confusion_matrix"),
    *("slices", "calibration", "groups", "robustness"),
)
# A task's own table is shown up to here; results.json has it whole.
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CHARACTERS = 50, 10, 300
_TITLES = {"f1": "F1", "support": "examples"}


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, whether it is a number, and a bar's length as a share (None draws none)."""

    text: str
    is_number: bool = False
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table for the page; the first column heads the rows. `note` says what was left out."""

    title: str
    columns: list[Cell]
    rows: list[list[Cell]]
    note: str = ""


def per_class(run: RunFiles, split: str) -> Table | None:
    """Return the scores per class, the weakest first where there are many."""
    rows = run.results["scores"][split].get("per_class")
    if not rows:
        return None
    weakest_first = len(rows) > _READABLE_LABELS and all("f1" in row for row in rows)
    names = ["label", *(name for name in rows[0] if name != "label")]
    titles = {**_TITLES, **run.task.titles}
    numeric = {name: all(_is_number(row.get(name)) or row.get(name) is None for row in rows) for name in names}
    cells = [
        [Cell(_text(row.get(name)), numeric[name], (row["f1"] or 0) if name == "f1" else None) for name in names]
        for row in (sorted(rows, key=lambda row: float(row["f1"])) if weakest_first else rows)
    ]
    columns = [Cell(titles.get(name, words(name)), numeric[name] and name != "label") for name in names]
    return Table("Classes", columns, cells, "Weakest first, by F1." if weakest_first else "")


def confusion(run: RunFiles, split: str) -> dict[str, Any] | None:
    """Return the confusion matrix as a table with shades, or for many labels as a grid and the largest confusions."""
    labels, matrix = run.results["labels"], run.results["scores"][split].get("confusion_matrix")
    if not matrix or len(matrix) != len(labels):
        return None
    totals = [sum(row) for row in matrix]
    if len(labels) <= _READABLE_LABELS:
        cells = [
            [(value, value / total if total else 0.0) for value in row]
            for row, total in zip(matrix, totals, strict=True)
        ]
        return {"labels": labels, "rows": list(zip(labels, cells, strict=True)), "grid": None}
    pairs = [(row[j], i, j) for i, row in enumerate(matrix) for j in range(len(labels)) if i != j and row[j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    top = [(labels[i], labels[j], value, value / totals[i]) for value, i, j in pairs[:_TOP_CONFUSIONS]]
    said = f"Confusion matrix of {len(labels)} labels: {len(pairs)} pairs of labels were confused."
    return {"grid": heat_grid(matrix, labels, label=said), "top": top, "n_pairs": len(pairs), "n_labels": len(labels)}


def other_tables(run: RunFiles, split: str) -> list[Table]:
    """Return what else the task says of a split: single values in one table, each dict or list of dicts in its own."""
    scores = run.results["scores"][split]
    single: dict[str, Any] = {}
    tables = []
    for key, value in scores.items():
        if key in _OWN_PLACE or value in (None, [], {}):
            continue
        if isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values()):
            tables.append(_table(run, key, [{"": name, **inner} for name, inner in value.items()]))
        elif isinstance(value, dict):
            tables.append(_table(run, key, [{"": words(name), "value": inner} for name, inner in value.items()]))
        elif isinstance(value, list) and all(isinstance(inner, dict) for inner in value):
            tables.append(_table(run, key, value))
        else:
            single[key] = value
    if single:
        tables.insert(0, _table(run, "", [{"": words(name), "value": value} for name, value in single.items()]))
    return tables


def _table(run: RunFiles, key: str, rows: list[dict[str, Any]]) -> Table:
    all_names = list(dict.fromkeys(name for row in rows for name in row))
    names = all_names[:_SHOWN_COLUMNS]
    numeric = {name: all(_is_number(row.get(name)) or row.get(name) is None for row in rows) for name in names}
    cells = [[Cell(_text(row.get(name)), numeric[name]) for name in names] for row in rows[:_SHOWN_ROWS]]
    cut = []
    if len(rows) > _SHOWN_ROWS:
        cut.append(f"the first {_SHOWN_ROWS} of {len(rows):,} rows")
    if len(all_names) > _SHOWN_COLUMNS:
        cut.append(f"{_SHOWN_COLUMNS} of {len(all_names):,} columns")
    note = f"Shown: {', '.join(cut)}; results.json has all." if cut else ""
    titles = {**_TITLES, **run.task.titles}
    title = titles.get(key, words(key))
    return Table(
        title[:1].upper() + title[1:],
        [Cell(titles.get(name, words(name)), numeric[name]) for name in names],
        cells,
        note,
    )


def _text(value: Any) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return number(value) if math.isfinite(value) else MISSING
    if isinstance(value, list):
        value = ", ".join(_text(inner) for inner in value)
    elif isinstance(value, dict):
        value = ", ".join(f"{words(str(name))} {_text(inner)}" for name, inner in value.items())
    return shorten(str(value), _SHOWN_CHARACTERS)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
