"""Texts in another language than nearly all texts, by py3langid (a naive Bayes model of byte sequences, 4.5 MB, no network)."""

from collections import Counter

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault

# The language of a text is known if its probability is at least this. Measured with 2,000 texts of each set: no English
# text of SST-2, Banking77, Multi30k, Reuters and WikiText-2 and no German text of Multi30k is in another language. In
# WNUT-17, 53 of 5,690 sentences are, and 52 of them are indeed Dutch, French, German, Portuguese, Spanish or Tagalog. Of
# German texts in English rows, 15% are found with 3 words, 74% with 5 words, and 97% with 8 words. langdetect is 20 times
# slower, and sure of a wrong language in 0 to 42 of 500 texts of these sets; lingua has 96 MB.
_SURE = 0.9
# The language of the other texts: the language of this share of the texts whose language is known.
_MAIN_LANGUAGE = 0.9
# Codes of py3langid for varieties of a written language, and for texts without a language, such as formulas and code.
_SAME = {"wuu": "zh", "yue": "zh", "nb": "no", "nn": "no"}
_NO_LANGUAGE = "zxx"


def find_other_languages(rows: AuditedRows) -> list[Fault]:
    """Find texts in another language than at least 90% of the texts. Raises UsageError if py3langid is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UsageError(
            "ftk data audit finds texts in other languages with the package py3langid, which is not installed; install "
            "ft-toolkit[audit]"
        ) from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = {
        row: _SAME.get(language, language)
        for row, text in rows.searched_texts()
        for language, probability in [identifier.classify(text)]
        if probability >= _SURE
    }
    counts = Counter(known.values())
    (main, n_main), *_ = counts.most_common(1) or [("", 0)]
    is_clear = n_main >= _MAIN_LANGUAGE * counts.total()
    return [
        Fault(
            "other_language",
            "texts in another language",
            "drop them, unless the model must read several languages. Short texts in other languages are often not found",
            [Case((row,), _title(language)) for row, language in known.items() if is_clear and language != main],
        )
    ]


def _title(language: str) -> str:
    return "no language" if language == _NO_LANGUAGE else language
