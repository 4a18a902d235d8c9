"""Compare the language codes of data sets and checkpoints: zh, zh_CN (mBART), zho_Hans (NLLB), cmn_Hans (Marian)."""

from collections.abc import Iterable

# ISO 639-3 codes of NLLB and Marian -> ISO 639-1 codes of data sets, for the languages of these checkpoints' names.
_SHORT = {
    "arb": "ar", "ara": "ar", "ces": "cs", "cmn": "zh", "dan": "da", "deu": "de", "ell": "el", "eng": "en", "est": "et",
    "fin": "fi", "fra": "fr", "hin": "hi", "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "lit": "lt",
    "lvs": "lv", "nld": "nl", "nob": "no", "nor": "no", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "spa": "es",
    "swe": "sv", "tur": "tr", "ukr": "uk", "vie": "vi", "zho": "zh",
}  # fmt: skip


def short_code(code: str) -> str:
    """Return a code without region and script, in ISO 639-1 where it is known: zh for zh_CN, zho_Hans and zh-TW."""
    stem = code.lower().strip("_").replace("-", "_").partition("_")[0]
    return _SHORT.get(stem, stem)


def same_language(code: str, names: Iterable[str]) -> str | None:
    """Return the only name that is the code, or means the same language in another spelling; None for none or several."""
    candidates = list(names)
    if code in candidates:
        return code
    same = [name for name in candidates if short_code(str(name)) == short_code(code)]
    return same[0] if len(same) == 1 else None
