"""Sentences on faults, for `ftk init` and for the start of a run."""

from collections.abc import Sequence

from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.faults.fault import AuditedRows, Fault
from ft_toolkit.tasks.display.wrong_examples import shorten

_SHOWN_CHARACTERS = 60
# Kinds with a sentence of their own.
_DESCRIBED = ("empty", "duplicates", "leaks", "contradictions")


def leak_warning(split: SplitName, n: int, rows: int) -> str:
    """Return the sentence on rows of a split that are also in the training rows."""
    return f"{split}: {n:,} of {rows:,} texts are also in the training rows, so the score is optimistic"


def empty_warning(split: SplitName, n: int, rows: int) -> str:
    """Return the sentence on empty texts."""
    return f"{split}: {n:,} of {rows:,} texts are empty"


def fault_warnings(rows: AuditedRows, faults: Sequence[Fault], splits: Sequence[SplitName]) -> list[str]:
    """Return sentences on the faults of `find_quick_faults`; the kinds without a score are named together."""
    warnings = []
    train = set(rows.keys_of("train").tolist())
    for split in splits:
        keys = rows.keys_of(split).tolist()
        if n := rows.n_rows(faults, "empty", split):
            warnings.append(empty_warning(split, n, len(keys)))
        if n := rows.n_repeated(split):
            warnings.append(f"{split}: {n:,} of {len(keys):,} texts repeat an earlier text")
        if split != "train" and (n := sum(key in train for key in keys)):
            warnings.append(leak_warning(split, n, len(keys)))
    for fault in faults:
        if fault.name == "contradictions":
            n, example = len(fault.cases), shorten(rows.text(fault.cases[0].rows[0]), _SHOWN_CHARACTERS)
            texts = f"{n:,} text{'' if n == 1 else 's'}"
            warnings.append(f"the same text has different labels in different rows: {texts}, such as {example!r}")
    others = [f"{fault.title} ({len(fault.rows):,} rows)" for fault in faults if fault.name not in _DESCRIBED]
    if others:
        warnings.append(f"{'; '.join(others)}. 'ftk data audit' shows the rows")
    return warnings
