"""Label names that probably mean the same label."""

from collections import defaultdict

from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.seen_rows import folded_text


def find_label_variants(rows: AuditedRows) -> list[Fault]:
    """Find labels that differ only in case, white space or Unicode form. A case has the rows of a less frequent spelling."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for row, label in rows.each_label():
        by_label[label].append(row)
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(by_label, key=lambda label: -len(by_label[label])):
        spellings[folded_text(label)].append(label)
    cases = [
        Case(tuple(by_label[rare]), f"{rare!r}, but more rows have {names[0]!r}")
        for names in spellings.values()
        for rare in names[1:]
    ]
    return [
        Fault(
            "label_variants",
            "several spellings of a label",
            "the spellings differ only in case, white space or Unicode form; use one if they mean the same label",
            cases,
        )
    ]
