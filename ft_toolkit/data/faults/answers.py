"""Answers that begin or end inside a word."""

from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault


def find_cut_words(rows: AuditedRows) -> list[Fault]:
    """Find spans, such as entities and answers, that begin or end inside a word."""
    cases = [Case((row,), "; ".join(map(repr, cut))) for row, cut in rows.each_cut_answer()]
    return [
        Fault(
            "cut_words",
            "answers that cut words",
            "a span begins or ends inside a word; often its offsets are wrong, or count bytes or UTF-16 units. A model for "
            "whole words cannot predict it",
            cases,
        )
    ]
