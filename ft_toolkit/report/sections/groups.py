"""Gaps between groups of rows: how often each group gets each label."""

from typing import Any

from ft_toolkit.core.run_scores import GroupGaps, GroupTable
from ft_toolkit.report.numbers import interval, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, header

# Of many labels, those with the largest gaps are shown.
_MAX_LABELS = 10
_GAPS = {
    "demographic_parity": ("Demographic parity", "share of all rows that get the label"),
    "equal_opportunity": ("Equal opportunity", "share of the rows with the label that get it"),
}


def _build(run: RunFiles, split: str) -> list[dict[str, Any]]:
    scores = run.results.scores[split]
    n = scores.n
    return [
        {
            "column": table.column,
            "groups": [
                f"{group.group} ({group.n:,}{'' if group.compared else ', too few to compare'})"
                for group in table.groups
            ],
            "left_out": table.left_out,
            "gaps": [
                {
                    "title": title,
                    "meaning": meaning,
                    "sentence": gap_sentence(table, key, n),
                    "table": _table(_gaps_of(table, key), n),
                }
                for key, (title, meaning) in _GAPS.items()
            ],
        }
        for table in scores.groups
    ]


def _gaps_of(table: GroupTable, key: str) -> GroupGaps | None:
    return table.demographic_parity if key == "demographic_parity" else table.equal_opportunity


def gap_sentence(table: GroupTable, key: str, n: int | None = None) -> str:
    """Return a sentence on the largest gap between the groups of a column, and on its significance; `key` is a key of _GAPS."""
    gaps = _gaps_of(table, key)
    if not gaps:
        return "Not compared: fewer than two groups have enough rows."
    largest, rates = gaps.labels[0], gaps.labels[0].rates
    among = "" if len(gaps.labels) == 1 else f" of {len(gaps.labels)} labels"
    text = f"The largest gap{among} is {number(largest.gap, n)} ({largest.label}: "
    text += f"{largest.highest} {number(rates[largest.highest], n)}, "
    text += f"{largest.lowest} {number(rates[largest.lowest], n)}"
    # The two most different of several groups have no interval: they were selected by their difference.
    text += f"; 95% interval of the difference {interval(largest, n)}). " if largest.low is not None else "). "
    verdict = "significant" if gaps.shown else "not significant"
    text += (
        f"The gap is {verdict}: {gaps.p_value:.1%} of random permutations of the groups have a gap at least as large"
    )
    if gaps.corrected is not None and (gaps.tests or 1) > 1:
        text += f" (p = {gaps.corrected:.2g} after Holm's correction for {gaps.tests} tests)"
    return f"{text}."


def gap_sentences(run: RunFiles, split: str) -> list[str]:
    """Return a sentence per column and kind of gap, for the model card."""
    scores = run.results.scores[split]
    return [
        f"Groups of '{table.column}', {title.lower()}: {gap_sentence(table, key, scores.n)}"
        for table in scores.groups
        for key, (title, _) in _GAPS.items()
    ]


def shown_gaps(run: RunFiles, split: str) -> list[str]:
    """Return a sentence for each column whose groups differ significantly."""
    sentences = []
    for table in run.results.scores[split].groups:
        kinds = [title.lower() for key, (title, _) in _GAPS.items() if (gaps := _gaps_of(table, key)) and gaps.shown]
        if kinds:
            sentences.append(f"the groups of '{table.column}' differ in {' and '.join(kinds)}.")
    return sentences


def _table(gaps: GroupGaps | None, n: int) -> Table | None:
    if not gaps:
        return None
    if len(gaps.labels) == 1:  # the sentence has the gap; the table shows the rates
        (gap,) = gaps.labels
        rates = sorted(gap.rates.items(), key=lambda rate: -rate[1])
        rows = [[Cell(name), Cell(number(rate, n), is_number=True)] for name, rate in rates]
        return Table("", header(["group", f"rate of {gap.label}"], range(1, 2)), rows)
    rows = [
        [
            Cell(gap.label),
            Cell(number(gap.gap, n), is_number=True),
            Cell(interval(gap, n), is_number=True),
            *(Cell(f"{group} {number(gap.rates[group], n)}") for group in (gap.highest, gap.lowest)),
        ]
        for gap in gaps.labels[:_MAX_LABELS]
    ]
    n_more = len(gaps.labels) - _MAX_LABELS
    note = f"The {_MAX_LABELS} largest gaps; results.json has {n_more:,} more." if n_more > 0 else ""
    return Table("", header(["label", "gap", "95% interval", "highest", "lowest"], range(1, 3)), rows, note)


SECTION = Section(order=65, title="Groups", build=per_split(_build))
