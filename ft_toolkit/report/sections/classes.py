"""The scores per class; with many classes the weakest first."""

from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, is_numeric, value_text
from ft_toolkit.report.wording import plain_name

# With more classes than this, the table is sorted by F1.
_MAX_UNSORTED = 20
_TITLES = {"f1": "F1", "support": "examples"}


def _build(run: RunFiles, split: str) -> Table | None:
    scores = run.results.scores[split]
    rows = [row.as_json() for row in scores.per_class or ()]
    if not rows:
        return None
    is_sorted = len(rows) > _MAX_UNSORTED and all(row.get("f1") is not None for row in rows)
    if is_sorted:
        rows = sorted(rows, key=lambda row: float(row["f1"]))
    names = ["label", *(name for name in rows[0] if name != "label")]
    numeric = {name: name != "label" and is_numeric(rows, name) for name in names}
    titles = {**_TITLES, **run.task.titles}
    # the examples of a class are fewer than those of the split
    cells = [
        [
            Cell(value_text(row.get(name), scores.n), numeric[name], (row["f1"] or 0.0) if name == "f1" else None)
            for name in names
        ]
        for row in rows
    ]
    columns = [Cell(titles.get(name, plain_name(name)), numeric[name]) for name in names]
    return Table("Classes", columns, cells, "Sorted by F1, the weakest class first." if is_sorted else "")


SECTION = Section(order=40, title="Classes", build=per_split(_build))
