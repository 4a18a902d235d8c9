"""Text encodings of data files."""

import codecs

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.encoding import decode

TEXT = "text,label\nGr\u00fc\u00dfe aus K\u00f6ln \u2013 \u201efein\u201c, 5 \u20ac,a\n"


@pytest.mark.parametrize(
    ("data", "encoding", "is_noted"),
    [
        (TEXT.encode(), "utf-8", False),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig", False),
        (TEXT.encode("utf-16"), "utf-16", True),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16", True),
        (TEXT.encode("utf-32"), "utf-32", True),
        (TEXT.encode("utf-16-le"), "utf-16-le", True),
        (TEXT.encode("utf-16-be"), "utf-16-be", True),
        (TEXT.encode("cp1252"), "cp1252", True),
        (b"", "utf-8", False),
    ],
)
def test_the_encoding_is_found_and_noted(data, encoding, is_noted):
    decoded = decode(data, "a.csv")
    assert decoded.text == (TEXT if data else "")
    assert (decoded.encoding, decoded.note is not None) == (encoding, is_noted)


def test_the_note_on_a_guess_shows_words_and_the_setting():
    note = decode(TEXT.encode("cp1252"), "a.csv").note
    assert note is not None and "Gr\u00fc\u00dfe" in note and "data.reading.encoding=NAME" in note


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "cp1251"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", "koi8-r"),
        ("\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1", "cp1253"),
        ("\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "shift_jis"),
        ("\u4f60\u597d\u4e16\u754c", "gb18030"),
        ("\uc548\ub155\ud558\uc138\uc694", "euc-kr"),
        ("\u05e9\u05dc\u05d5\u05dd", "cp1255"),
    ],
)
def test_other_alphabets_are_refused_unless_the_encoding_is_set(text, encoding):
    data = f"text,label\n{text},a\n".encode(encoding)
    with pytest.raises(DataError, match=r"a\.csv:2: not valid UTF-8; .*data\.reading\.encoding=NAME"):
        decode(data, "a.csv")
    assert text in decode(data, "a.csv", encoding).text


def test_damaged_utf8_and_wrong_settings_are_refused():
    with pytest.raises(DataError, match=r"a\.csv:2: not valid UTF-8"):
        decode("caf\u00e9\n".encode() + b"caf\xe9\n", "a.csv")
    with pytest.raises(DataError, match=r"a\.csv:1: not valid ASCII"):
        decode("caf\u00e9".encode(), "a.csv", "ascii")
    with pytest.raises(DataError, match="unknown encoding 'utf-80'"):
        decode(b"x", "a.csv", "utf-80")
    with pytest.raises(DataError, match=r"a\.csv:1: not valid UTF-16"):
        decode(codecs.BOM_UTF16_LE + b"x", "a.csv")
