"""Find the faults in the rows of a data set."""

from collections.abc import Callable
from importlib.util import find_spec

from ft_toolkit.data.faults.answers import find_cut_words
from ft_toolkit.data.faults.characters import (
    find_control_characters,
    find_empty,
    find_other_scripts,
    find_wrong_encoding,
)
from ft_toolkit.data.faults.duplicates import find_repeated, find_similar
from ft_toolkit.data.faults.fault import AuditedRows, Fault
from ft_toolkit.data.faults.label_names import find_label_variants
from ft_toolkit.data.faults.languages import find_other_languages
from ft_toolkit.data.faults.personal_data import find_personal_data

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
    "other_language",
    "cut_words",
    "duplicates",
    "near_duplicates",
    "personal_data",
)
# Checks without a package of the extra "audit".
_CHECKS = (
    find_repeated,
    find_label_variants,
    find_empty,
    find_control_characters,
    find_other_scripts,
    find_personal_data,
    find_cut_words,
)
# A run searches texts with about this many characters, at equal distances if there are more. 10 million characters take 2.4
# s of CPU time in English (Multi30k), 4.9 s in German, and 6.2 s in Chinese (XQuAD).
MOST_CHARACTERS = 10_000_000


def find_faults(rows: AuditedRows, report: Callable[[int, int], None] = lambda done, total: None) -> list[Fault]:
    """Return all kinds of fault with at least one case, the most harmful first.

    `report` is called with the number of compared texts and their total, in the longest step. Raises UsageError if a package of
    the extra "audit" is missing.
    """
    checks = (*_CHECKS, find_wrong_encoding, find_other_languages)
    return _in_order([fault for find in checks for fault in find(rows)] + find_similar(rows, report))


def find_quick_faults(rows: AuditedRows) -> list[Fault]:
    """Return the kinds of fault that are found in seconds, which are all but nearly equal texts and other languages.

    Wrongly decoded texts are searched if ftfy is installed.
    """
    checks = (*_CHECKS, find_wrong_encoding) if searches_encodings() else _CHECKS
    return _in_order([fault for find in checks for fault in find(rows)])


def searches_encodings() -> bool:
    """Return whether ftfy is installed, which finds wrongly decoded texts."""
    return find_spec("ftfy") is not None


def _in_order(faults: list[Fault]) -> list[Fault]:
    return sorted((fault for fault in faults if fault.cases), key=lambda fault: ORDER.index(fault.name))
