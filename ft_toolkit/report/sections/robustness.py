"""The robustness check: how many answers small changes of the input change."""

from collections.abc import Sequence
from typing import Any

from ft_toolkit.core.run_scores import RobustnessCheck
from ft_toolkit.report.numbers import MISSING, count, interval, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, header
from ft_toolkit.report.wording import plain_name
from ft_toolkit.tasks.display.wrong_examples import shorten

_SHOWN_CHARACTERS = 300


def _build(run: RunFiles, split: str) -> dict[str, Any] | None:
    checks = run.results.scores[split].robustness
    if not checks:
        return None
    names = [
        "change",
        "rows changed",
        "answers changed",
        "share",
        "95% interval",
        "score before",
        "score after",
        "difference, 95% interval",
    ]
    table = Table("", header(names, range(1, 8)), [_row(check) for check in checks])
    examples = [
        {
            "kind": plain_name(check.kind),
            "changed": [{key: _text(value) for key, value in example.as_json().items()} for example in check.examples],
        }
        for check in checks
        if check.examples
    ]
    return {"table": table, "examples": examples}


def _row(check: RobustnessCheck) -> list[Cell]:
    n, metric = check.changed, check.metric
    texts = [
        count(n),
        count(check.flipped),
        number(check.flip_rate.value, n),
        interval(check.flip_rate, n),
        number(metric.plain, n),
        number(metric.value, n),
        interval(metric.difference, n),
    ]
    return [Cell(plain_name(check.kind)), *(Cell(text, is_number=True) for text in texts)]


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ", ".join(map(str, value)) or "none"
    return MISSING if value is None else shorten(str(value), _SHOWN_CHARACTERS)


SECTION = Section(order=75, title="Robustness", build=per_split(_build))
