"""Possible personal data in texts: mail addresses, phone numbers, IBANs and card numbers. Checksums exclude chance hits."""

import re
from collections import Counter
from collections.abc import Callable

from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault


def _is_iban(text: str) -> bool:
    """Return whether the check digits of an IBAN are right (ISO 13616: the number modulo 97 is 1)."""
    letters = text.replace(" ", "")
    return 15 <= len(letters) <= 34 and int("".join(str(int(c, 36)) for c in letters[4:] + letters[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Return whether the check digit of a card number is right (Luhn, ISO/IEC 7812), and not all digits are equal."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(text: str) -> bool:
    """Return whether a number has 9 to 15 digits (ITU-T E.164) and does not look like a date."""
    return 9 <= sum(c.isdigit() for c in text) <= 15 and not re.fullmatch(r"\d{4}[-./ ]\d{2}[-./ ]\d{2}.*", text)


_DIGIT = re.compile("[0-9]")
# A phone number has at least 9 digits, a card number 13. The IBAN with the fewest digits is that of Malta: 2 check digits and a
# sort code of 5 digits.
_FEWEST_DIGITS = 7

# Kind -> pattern, and the check that a match must pass. A text that matches an earlier kind is not counted for a later one.
KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "mail": (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[a-zA-Z]{2,24}\b"), lambda text: True),
    "iban": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_iban),
    "card": (re.compile(r"(?<![\d.,-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\d-]|[.,]\d)"), _is_card),
    "phone": (
        re.compile(
            r"(?<![\w.,+-])(?<!\d[ -])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ ./-]?\d{2,5}){1,4}"
            r"|\(\d{2,5}\)[ -]?\d{3,4}[ .-]?\d{3,5}|0\d{1,5}[ /-]\d{3,8}(?:[ -]\d{2,4})?"
            r"|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w-]|[.,]\d)"
        ),
        _is_phone,
    ),
}


def find_personal_data(rows: AuditedRows) -> list[Fault]:
    """Find texts with possible mail addresses, phone numbers, IBANs and card numbers. Names are not recognized."""
    cases = []
    for row, text in rows.searched_texts():
        if kinds := Counter(kind for kind, _, _ in matches(text)):
            cases.append(Case((row,), ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))))
    return [
        Fault(
            "personal_data",
            "possible personal data",
            "mail addresses, phone numbers, IBANs or card numbers. Check that you may use and publish them",
            cases,
        )
    ]


def matches(text: str) -> list[tuple[str, int, int]]:
    """Return (kind, start, end) of each match in a text, ascending and without overlaps."""
    n_digits = len(_DIGIT.findall(text))
    found: list[tuple[str, int, int]] = []
    for kind, (pattern, is_valid) in KINDS.items():
        if "@" in text if kind == "mail" else n_digits >= _FEWEST_DIGITS:
            for match in pattern.finditer(text):
                start, end = match.span()
                if is_valid(match.group()) and all(end <= s or start >= e for _, s, e in found):
                    found.append((kind, start, end))
    return sorted(found, key=lambda match: match[1])
