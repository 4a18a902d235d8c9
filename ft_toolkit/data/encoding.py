"""Decode the bytes of a text file: UTF-8, UTF-16, UTF-32 or Windows-1252.

The bytes of most single-byte encodings cannot be told apart. Only Windows-1252 (Western European) is guessed, and only where
the text looks like it; other encodings are set with `data.reading.encoding`.
"""

import codecs
import re
from collections import Counter
from dataclasses import dataclass

from ft_toolkit.core.errors import DataError

_BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with the mark of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The bytes of a character of two to four bytes in UTF-8.
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Western European texts have at most two accented letters in a row (as in "Réé"); in other alphabets, complete words consist of
# them.
_FOREIGN_WORD = re.compile("[\xc0-\xff\u0160\u0161\u017d\u017e\u0178\u0152\u0153]{3}")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x7f]")
_WORD = re.compile(r"\w*[^\W\x00-\x7f]\w*")
REMEDY = "save the file as UTF-8, or set its encoding: data.reading.encoding=NAME, such as cp1251 or shift_jis"


@dataclass(frozen=True)
class Decoded:
    """The text of a file, the name of its encoding, and a note if the encoding was guessed or is unusual."""

    text: str
    encoding: str
    note: str | None = None


def decode(data: bytes, name: str, encoding: str | None = None) -> Decoded:
    """Return the text of a file. `name` is the file in errors; `encoding` overrides the detection.

    A byte order mark is removed. Raises DataError, with the line of the first invalid byte.
    """
    if encoding is not None:
        return Decoded(_decode_as(data, name, encoding), encoding)
    for mark, marked_encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = _decode_as(data, name, marked_encoding)
            is_usual = marked_encoding == "utf-8-sig"
            title = marked_encoding.removesuffix("-sig").upper()
            return Decoded(text, marked_encoding, None if is_usual else f"read as {title} (byte order mark)")
    if (wide := _utf16_without_mark(data)) is not None:
        return Decoded(_decode_as(data, name, wide), wide, f"read as {wide.upper()} (every other byte is 0)")
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        return _western_european(data, name, error)


def _decode_as(data: bytes, name: str, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except LookupError:
        raise DataError(
            f"{name}: unknown encoding '{encoding}'; use a name of Python's codecs, such as cp1251"
        ) from None
    except UnicodeDecodeError as error:
        raise _invalid(data, name, encoding, error) from None
    except ValueError as error:  # codecs that are not text encodings, such as "idna" or "undefined"
        raise DataError(f"{name}: cannot be decoded as '{encoding}': {error}") from None
    return text.removeprefix("\ufeff")


def _invalid(data: bytes, name: str, encoding: str, error: UnicodeDecodeError) -> DataError:
    line = data.count(b"\n", 0, error.start) + 1
    title = encoding.removesuffix("-sig").upper()
    return DataError(f"{name}:{line}: not valid {title}; {REMEDY}")


def _utf16_without_mark(data: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" if most bytes at odd or at even positions are 0, as in Western texts."""
    sample = data[:4096]
    if len(sample) < 4 or len(data) % 2 or b"\x00" not in sample:
        return None
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if zeros.count(0) > 0.7 * len(zeros) and sample.count(0) < 0.6 * len(sample):
            return encoding
    return None


def _western_european(data: bytes, name: str, error: UnicodeDecodeError) -> Decoded:
    """Return the text in Windows-1252 if it looks like a Western European one; otherwise raise DataError."""
    is_damaged_utf8 = _MULTIBYTE.search(data) is not None
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise _invalid(data, name, "utf-8", error) from None
    if is_damaged_utf8 or _CONTROL.search(data) or _FOREIGN_WORD.search(text):
        raise _invalid(data, name, "utf-8", error)
    words = [word for word, _ in Counter(_WORD.findall(text)).most_common(3)]
    examples = f" (such as {', '.join(words)})" if words else ""
    return Decoded(
        text,
        "cp1252",
        f"not UTF-8; read as Windows-1252{examples}. If this is wrong, set data.reading.encoding=NAME",
    )
