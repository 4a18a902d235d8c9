"""The words of a text, and their scripts."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# Scripts without spaces between words. Each letter is a word, as in BERT's tokenizer for Chinese. Thai, Lao, Tibetan, Myanmar,
# Khmer; kana and CJK ideographs with their compatibility forms and extensions.
_SOUTHEAST = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_NO_SPACES = re.compile(f"[{_SOUTHEAST}{_KANA}{_HAN}]")
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_JOINERS = "\u200c\u200d"
_SCRIPTS = {
    name: re.compile(f"[{letters}]") for name, letters in (("han", _HAN), ("kana", _KANA), ("southeast", _SOUTHEAST))
}
_SPACED_WORD = re.compile(r"[^\W_]+")
_HAS_HANGUL, _HAS_ASCII = re.compile(f"[{_HANGUL}]"), re.compile("[a-z0-9]")


def find_words(text: str) -> list[tuple[int, int]]:
    """Return the words of a raw text, as (start, end) in characters.

    A word is a sequence of letters, digits and underscores, or one other visible character (punctuation, a symbol, an emoji, a
    letter of a script without spaces). Combining marks and joiners belong to the character before them. White space and
    control characters belong to no word.
    """
    words: list[tuple[int, int]] = []
    continues = False  # whether a letter continues the previous word
    for i, letter in enumerate(text):
        category = unicodedata.category(letter)
        touches = bool(words) and words[-1][1] == i
        if touches and (category[0] == "M" or letter in _JOINERS):
            words[-1] = (words[-1][0], i + 1)
        elif category[0] in "ZC" and category not in ("Co", "Cn"):
            continues = False
        elif (category[0] in "LN" or letter == "_") and not _NO_SPACES.match(letter):
            if continues and touches:
                words[-1] = (words[-1][0], i + 1)
            else:
                words.append((i, i + 1))
            continues = True
        else:
            words.append((i, i + 1))
            continues = False
    return words


@dataclass(frozen=True)
class ScriptCounts:
    """The number of words of texts by script. In scripts without spaces, each letter counts as a word.

    han         Chinese characters, which Japanese uses too
    kana        hiragana and katakana
    southeast   Thai, Lao, Tibetan, Myanmar, Khmer
    hangul      Korean words
    ascii       words with a letter a to z or a digit
    other       other words: Cyrillic, Greek, Arabic, Devanagari ...
    """

    han: int = 0
    kana: int = 0
    southeast: int = 0
    hangul: int = 0
    ascii: int = 0
    other: int = 0

    @property
    def without_spaces(self) -> int:
        """The number of letters of scripts without spaces."""
        return self.han + self.kana + self.southeast

    @property
    def total(self) -> int:
        """The number of words."""
        return self.without_spaces + self.hangul + self.ascii + self.other


def count_scripts(texts: Iterable[str]) -> ScriptCounts:
    """Return the number of words of the texts by script."""
    text = "\n".join(texts).lower()
    counts = {name: len(letters.findall(text)) for name, letters in _SCRIPTS.items()}
    spaced = _SPACED_WORD.findall(_NO_SPACES.sub(" ", text))
    n_hangul = sum(bool(_HAS_HANGUL.search(word)) for word in spaced)
    n_ascii = sum(bool(_HAS_ASCII.search(word)) and not _HAS_HANGUL.search(word) for word in spaced)
    return ScriptCounts(**counts, hangul=n_hangul, ascii=n_ascii, other=len(spaced) - n_hangul - n_ascii)
