"""Texts without content, with characters of a wrong encoding, or in another script than the other texts."""

import re
import unicodedata
from collections import Counter
from functools import cache

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault

# The script of the other texts: the one of this share of the texts that have letters.
_MAIN_SCRIPT = 0.9
# A text is in another script if this share of its letters is.
_OTHER_LETTERS = 0.5
# Scripts that one language mixes: Japanese writes with three, and Korean texts contain Chinese characters.
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
_ASCII_LETTER = re.compile("[A-Za-z]")
_CONTROL = {"Cc", "Cn", "Co", "Cs"}
_ALLOWED = set("\t\n\r")


def find_empty(rows: AuditedRows) -> list[Fault]:
    """Find texts without content."""
    cases = [Case((row,)) for row, text in rows.each_text() if not text.strip()]
    return [Fault("empty", "empty texts", "drop them", cases)]


def find_wrong_encoding(rows: AuditedRows) -> list[Fault]:
    """Find wrongly decoded texts. Raises UsageError if ftfy is not installed."""
    try:
        from ftfy.badness import is_bad
    except ImportError:
        raise UsageError(
            "ftk data audit finds wrongly decoded texts with the package ftfy, which is not installed; install "
            "ft-toolkit[audit]"
        ) from None
    cases = []
    for row, text in rows.searched_texts():
        if not text.isascii() and ("\ufffd" in text or is_bad(text)):
            cases.append(Case((row,)))
    return [
        Fault(
            "wrong_encoding",
            "wrongly decoded texts",
            "'cafÃ©' was 'café'. Export the file again as UTF-8, or set data.reading.encoding",
            cases,
        )
    ]


def find_control_characters(rows: AuditedRows) -> list[Fault]:
    """Find control and undefined characters."""
    cases = []
    for row, text in rows.searched_texts():
        if text.isprintable():
            continue
        if invisible := {c for c in set(text) - _ALLOWED if unicodedata.category(c) in _CONTROL}:
            cases.append(Case((row,), " ".join(f"U+{ord(c):04X}" for c in sorted(invisible))))
    return [
        Fault(
            "control_characters",
            "control or undefined characters",
            "remove these characters; often they come from a damaged export",
            cases,
        )
    ]


def find_other_scripts(rows: AuditedRows) -> list[Fault]:
    """Find texts in another script than at least 90% of the texts."""
    return [
        Fault(
            "other_script",
            "texts in another script",
            "drop them, unless the model must read several languages",
            _other_scripts(rows),
        )
    ]


def _other_scripts(rows: AuditedRows) -> list[Case]:
    """Return the texts in another script than 90% of the texts; none if no script has this share."""
    scripts = {row: _scripts(text) for row, text in rows.searched_texts()}
    first = Counter(counts.most_common(1)[0][0] for counts in scripts.values() if counts)
    if not first:
        return []
    main, n_main = first.most_common(1)[0]
    if n_main < _MAIN_SCRIPT * first.total():
        return []
    return [
        Case((row,), counts.most_common(1)[0][0].lower())
        for row, counts in scripts.items()
        if counts and counts[main] < (1 - _OTHER_LETTERS) * counts.total()
    ]


def _scripts(text: str) -> Counter[str]:
    """Return the number of letters of each script; for an ASCII text 1 instead of the number."""
    if text.isascii():
        return Counter(["LATIN"] if _ASCII_LETTER.search(text) else [])
    counts = Counter[str]()
    for character, n in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += n
    return counts


@cache
def _script(character: str) -> str:
    """Return the script of a letter by its Unicode name; Chinese, Japanese and Korean letters are "EAST ASIAN"."""
    name = unicodedata.name(character, "UNKNOWN").split()[0].split("-")[0]
    name = {"FULLWIDTH": "LATIN", "HALFWIDTH": "KATAKANA", "MICRO": "GREEK"}.get(name, name)
    return "EAST ASIAN" if name in _EAST_ASIAN else name
