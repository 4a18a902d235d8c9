"""Find all kinds of fault in the rows of a data set."""

from collections.abc import Callable

from ft_toolkit.data.faults.characters import find_empty, find_other_scripts, find_wrong_characters
from ft_toolkit.data.faults.duplicates import find_repeated, find_similar
from ft_toolkit.data.faults.fault import AuditedRows, Fault
from ft_toolkit.data.faults.label_names import find_label_variants
from ft_toolkit.data.faults.personal_data import find_personal_data


def find_faults(rows: AuditedRows, report: Callable[[int, int], None] = lambda done, total: None) -> list[Fault]:
    """Return the kinds of fault with at least one case, the most harmful first.

    `report` is called with the number of compared texts and their total, in the longest step. Raises UsageError if a package of
    the extra "audit" is missing.
    """
    faults = {
        fault.name: fault
        for find in (
            find_empty,
            find_wrong_characters,
            find_other_scripts,
            find_repeated,
            find_label_variants,
            find_personal_data,
        )
        for fault in find(rows)
    }
    faults |= {fault.name: fault for fault in find_similar(rows, report)}
    assert set(faults) == set(ORDER)
    return [faults[name] for name in ORDER if faults[name].cases]


# Faults that make scores wrong, then faults that make models worse, then facts to know.
ORDER = (
    "leaks",
    "near_leaks",
    "contradictions",
    "near_contradictions",
    "label_variants",
    "empty",
    "wrong_encoding",
    "control_characters",
    "other_script",
    "duplicates",
    "near_duplicates",
    "personal_data",
)

_CHECKS = (
    find_empty,
    find_wrong_characters,
    find_other_scripts,
    find_repeated,
    find_label_variants,
    find_personal_data,
)
