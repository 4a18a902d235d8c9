"""Find lone surrogates: halves of a character, which neither UTF-8 nor tokenizers can encode."""

from collections.abc import Mapping
from typing import Any


def has_lone_surrogate(value: Any) -> bool:
    """Return whether a text, or any text in nested lists and dicts, contains a lone surrogate (U+D800 to U+DFFF)."""
    remaining = [value]
    while remaining:
        item = remaining.pop()
        if isinstance(item, str):
            if not item.isascii() and any("\ud800" <= character <= "\udfff" for character in item):
                return True
        elif isinstance(item, Mapping):
            remaining += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            remaining += item
    return False
