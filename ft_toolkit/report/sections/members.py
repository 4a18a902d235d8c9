"""The members of an ensemble, with their scores beside the score of the ensemble."""

from ft_toolkit.core.run_records import EnsembleMember, EvaluationResults
from ft_toolkit.report.numbers import MISSING, interval, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, header
from ft_toolkit.report.wording import plain_name


def _build(run: RunFiles, split: str) -> Table | None:
    results = run.results
    if not isinstance(results, EvaluationResults) or not results.members:
        return None
    n, score = results.scores[split].n, run.main_score(split)
    columns = header(["model", plain_name(results.main_metric), "95% interval"], range(1, 3))
    first = [Cell("ensemble"), Cell(number(score.value, n), is_number=True), Cell(interval(score, n), is_number=True)]
    rows = [first, *(_row(member, split, n) for member in results.members)]
    note = "Intervals can overlap even if a difference is significant; ftk compare tests the difference."
    return Table("", columns, rows, note)


def _row(member: EnsembleMember, split: str, n: int) -> list[Cell]:
    score = member.scores.get(split)
    texts = [MISSING, MISSING] if score is None else [number(score.value, n), interval(score, n)]
    return [Cell(member.run), *(Cell(text, is_number=True) for text in texts)]


SECTION = Section(order=15, title="Members", build=per_split(_build))
