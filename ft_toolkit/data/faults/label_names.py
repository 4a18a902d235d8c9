"""Label names that probably mean the same label."""

from collections import Counter, defaultdict

from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.seen_rows import folded_text


def find_label_variants(rows: AuditedRows) -> list[Fault]:
    """Find labels that differ only in case, white space or Unicode form. A case has the rows of a less frequent spelling."""
    counts = Counter(label for _, label in rows.each_label())
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, _ in counts.most_common():
        spellings[folded_text(label)].append(label)
    first = {rare: names[0] for names in spellings.values() for rare in names[1:]}
    by_label: dict[str, list[int]] = {rare: [] for rare in first}
    for row, label in rows.each_label() if first else ():
        if label in first:
            by_label[label].append(row)
    cases = [Case(tuple(by_label[rare]), f"{rare!r}, but more rows have {first[rare]!r}") for rare in first]
    return [
        Fault(
            "label_variants",
            "several spellings of a label",
            "the spellings differ only in case, white space or Unicode form; use one if they mean the same label",
            cases,
        )
    ]
