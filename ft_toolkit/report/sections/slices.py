"""The main metric on parts of the rows: per value of a column, per band of text lengths."""

from ft_toolkit.core.run_scores import SliceTable
from ft_toolkit.report.numbers import count, interval, is_share, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, header
from ft_toolkit.report.wording import plain_name


def _build(run: RunFiles, split: str) -> list[Table]:
    return [_table(run, slices) for slices in run.results.scores[split].slices]


def _table(run: RunFiles, slices: SliceTable) -> Table:
    metric = run.metrics.get(slices.metric)
    best = metric.best if metric is not None and is_share(metric) else None
    rows = []
    for part in slices.values:
        n = part.n
        bar = part.score / best if best is not None and part.score is not None else None
        rows.append(
            [
                Cell(part.value),
                Cell(count(n), is_number=True),
                Cell(number(part.score, n), is_number=True, bar=bar),
                Cell(interval(part, n), is_number=True),
                Cell(interval(part.difference, n), is_number=True),
            ]
        )
    columns = [
        slices.column,
        "n",
        plain_name(slices.metric),
        "95% interval",
        "difference from other rows, 95% interval",
    ]
    notes = []
    if slices.left_out.values:
        left_out = slices.left_out
        notes.append(f"Not shown: {left_out.values:,} rarer values with {left_out.rows:,} rows in total.")
    if slices.correlation is not None:
        notes.append(
            f"Scores of rows with the same {slices.column} are correlated (intraclass correlation {slices.correlation:.2f}). "
            "If new rows have other values, the intervals of this report are too narrow; "
            f"data.group={slices.column} accounts for it."
        )
    title = slices.column
    return Table(f"{title[:1].upper()}{title[1:]}", header(columns, range(1, 5)), rows, " ".join(notes))


SECTION = Section(order=60, title="Slices", build=per_split(_build))
