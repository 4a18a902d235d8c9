"""Changes that a tokenizer makes to texts before the model reads them."""

import unicodedata
from collections.abc import Sequence
from typing import Any

# From this share on, unknown tokens are reported.
_REPORTED_SHARE = 0.01
_CHANGES = {"é": "lowercases texts", "E": "removes accents", "e": "lowercases texts and removes accents"}


def describe_normalization(tokenizer: Any) -> str:
    """Return a phrase such as "lowercases texts" if a tokenizer lowercases texts or removes accents, else an empty text.

    Tokenizers without a tokenizer.json are not examined.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer if tokenizer.is_fast else None
    if normalizer is None:
        return ""
    return _CHANGES.get(unicodedata.normalize("NFC", normalizer.normalize_str("É").strip("\u2581 ")), "")


def unknown_token_id(tokenizer: Any) -> int | None:
    """Return the id of the unknown token; None for a tokenizer without one, or with one that has another meaning, too."""
    unknown: int | None = tokenizer.unk_token_id
    others = {getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "pad", "cls", "sep")}
    return None if unknown in others else unknown  # GPT-2: the end token


def unknown_token_notes(token_ids: Sequence[Sequence[int]], tokenizer: Any) -> list[str]:
    """Return a note if at least 1% of the tokens are unknown to the tokenizer, as for a script that it was not trained on."""
    unknown = unknown_token_id(tokenizer)
    if unknown is None:
        return []
    n_unknown, n_tokens = sum(list(ids).count(unknown) for ids in token_ids), sum(map(len, token_ids))
    if n_unknown < _REPORTED_SHARE * n_tokens or not n_unknown:
        return []
    return [
        f"{n_unknown / n_tokens:.0%} of the tokens are {tokenizer.unk_token}: the model cannot read these parts of the texts. "
        "Check that the checkpoint was trained on this language"
    ]
