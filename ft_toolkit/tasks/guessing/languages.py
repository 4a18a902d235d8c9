"""The language of texts, from their script and from frequent short words: enough to choose a first model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

# Frequent words that few of the other languages have.
_WORDS = {
    "en": "the of and to is that for it was with you this are have not my your",
    "de": "der die und das ist nicht ich ein eine mit sich auf den dem zu auch wird es",
    "fr": "le les et des est dans pour une que qui pas ce sur au avec je il",
    "es": "el los y en una las por con para es lo su como más muy del",
    "it": "il di che è per non un una sono con della gli più le mi questo",
    "pt": "os não uma com para em mais por das muito é do da ao foi",
    "nl": "het een en van niet dat zijn voor met ik de op je ook maar",
    "ro": "și în nu este cu mai pe care din pentru o să la",
    "sv": "och att det som är en på för inte med jag av har",
    "da": "og det er af en til på ikke med jeg den der har",
    "no": "og det er av en til på ikke med jeg den som har",
    "pl": "nie na się jest to że do jak ale po za co od",
    "cs": "je se na že to v jsem ale jako by pro není",
    "fi": "ja on ei se että hän oli mutta niin kun ovat",
    "tr": "bir ve bu için çok da de ne var ile gibi ama",
    "hu": "és az nem hogy egy van is de meg volt ez",
}
_WORDS_OF = {code: frozenset(words.split()) for code, words in _WORDS.items()}
# First word of a Unicode character name -> language. Cyrillic and Arabic letters have several; see `_of_letters`.
_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "HANGUL": "ko", "THAI": "th", "GREEK": "el", "HEBREW": "he",
    "DEVANAGARI": "hi", "ARABIC": "ar", "CYRILLIC": "ru", "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "KHMER": "km", "LAO": "lo", "MYANMAR": "my",
}  # fmt: skip
# Scripts that are written without spaces: about one token per character.
UNSPACED = frozenset({"ja", "zh", "th", "km", "lo", "my"})
_SAMPLE = 500


def language_of(texts: Sequence[str]) -> str | None:
    """Return the ISO 639-1 code of the language of most texts, or None if it is not clear.

    Plain Latin letters without frequent words of any language count as English.
    """
    sample = [str(text)[:500] for text in texts[:: -(-len(texts) // _SAMPLE) or 1]]
    joined = " ".join(sample).lower()
    letters = Counter(letter for letter in joined if letter.isalpha())
    total = letters.total()
    if not total:
        return None
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "?").split(" ", 1)[0].split("-", 1)[0]] += count
    latin = scripts["LATIN"] + scripts["FULLWIDTH"]
    if latin < 0.5 * total:
        return _of_letters(scripts, joined)
    words = re.findall(r"[^\W\d_]+", joined)
    shares = {code: sum(word in known for word in words) / len(words) for code, known in _WORDS_OF.items()}
    best = max(shares, key=lambda code: shares[code])
    if shares[best] >= 0.04:
        return best
    is_ascii = sum(count for letter, count in letters.items() if letter.isascii()) > 0.995 * total
    return "en" if is_ascii else None


def _of_letters(scripts: Counter[str], text: str) -> str | None:
    others = Counter({name: count for name, count in scripts.items() if name in _SCRIPTS})
    if not others:
        return None
    # Japanese mixes kana with Chinese characters
    if others["HIRAGANA"] + others["KATAKANA"] > 0.1 * others.total():
        return "ja"
    code = _SCRIPTS[others.most_common(1)[0][0]]
    if code == "ru" and re.search("[іїєґ]", text):
        return "uk"
    return "fa" if code == "ar" and re.search("[پچژگ]", text) else code
