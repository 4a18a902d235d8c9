"""Language tokens of multilingual encoder-decoders, found from the tokens that the tokenizer adds to a text.

`X` are the tokens of a target, LANG is the token of its language:

                            start of the decoder    labels
    mBART-25, PLBART        LANG                    X </s> LANG
    mBART-50, M2M-100       </s>                    LANG X </s>     generation forces LANG as the first token
    NLLB                    </s>                    LANG X </s>     as above, also with `legacy_behaviour`
    T5, BART, Marian        one start token         X </s>          no language tokens

Marian checkpoints for several target languages read the target language from the source: >>deu<< X </s>.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import ModelError, UsageError, did_you_mean, one_of
from ft_toolkit.tasks.text.language_codes import short_code

Languages = tuple[str | None, str | None]


@dataclass(frozen=True)
class LanguageToken:
    """The token of the target language.

    With `starts_decoder` it is the start token of the decoder and the last label; otherwise it is the first label.
    """

    token_id: int
    starts_decoder: bool


def has_language_tokens(tokenizer: Any) -> bool:
    """Return whether the tokenizer adds a token of the language to a text.

    FSMT's tokenizer also has the attribute `tgt_lang`, but adds no such token.
    """
    return hasattr(tokenizer, "set_tgt_lang_special_tokens")


def find_language_token(tokenizer: Any, languages: Languages) -> LanguageToken | None:
    """Set the languages of the tokenizer and return the token of the target language; None without language tokens.

    `languages` are the names of source and target in the tokenizer's own spelling: `en` for M2M-100, `en_XX` for mBART. Raises
    UsageError if one is missing or unknown, ModelError for another layout.
    """
    if not has_language_tokens(tokenizer):
        return None
    source, target = languages
    if source is None or target is None:
        raise UsageError(
            "this checkpoint has language tokens; set task.source_language and task.target_language to languages of its "
            f"tokenizer: {one_of(language_names(tokenizer))}"
        )
    for side, language in (("source", source), ("target", target)):
        if not _is_language(tokenizer, language):
            raise _unknown_language(f"task.{side}_language={language}", language, tokenizer)
    set_languages(tokenizer, source, target)
    labels = list(tokenizer(text_target="")["input_ids"])
    end = tokenizer.eos_token_id
    if len(labels) != 2 or end not in labels:
        layout = " ".join(tokenizer.convert_ids_to_tokens(labels))
        raise ModelError(
            f"the tokenizer of this checkpoint puts the tokens {layout!r} around a target; only a language token and an end "
            "token are supported. Use another checkpoint"
        )
    # The legacy layout of NLLB has the language after the end token, but NLLB's decoder was trained with the language first.
    is_legacy = getattr(tokenizer, "legacy_behaviour", False)
    token_id = labels[0] if labels[1] == end else labels[1]
    return LanguageToken(int(token_id), starts_decoder=labels[0] == end and not is_legacy)


def set_languages(tokenizer: Any, source: str | None, target: str | None) -> None:
    """Set the languages of a tokenizer with language tokens. Its saved files keep them."""
    tokenizer.src_lang, tokenizer.tgt_lang = source, target


def language_names(tokenizer: Any) -> list[str]:
    """Return the languages of a tokenizer with language tokens, in its own spelling."""
    if names := getattr(tokenizer, "lang_code_to_id", None):
        return list(names)
    roles = set(tokenizer.special_tokens_map.values()) if tokenizer.special_tokens_map else set()
    return [str(token) for token in tokenizer.all_special_tokens if token not in roles]


def _is_language(tokenizer: Any, language: str) -> bool:
    """Return whether the tokenizer accepts a language, and the language has a special token of its own.

    The tokenizers of mBART and NLLB accept any text, such as the ordinary token `en`.
    """
    before = tokenizer.src_lang
    try:
        tokenizer.src_lang = language
        added = set(tokenizer("")["input_ids"])
    except KeyError:
        return False
    finally:
        tokenizer.src_lang = before
    roles = {
        getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    }
    codes = getattr(tokenizer, "lang_code_to_id", {})
    special_ids = {*tokenizer.all_special_ids, *tokenizer.added_tokens_encoder.values(), *codes.values()}
    return len(new := added - roles) == 1 and new <= special_ids


def _unknown_language(setting: str, language: str, tokenizer: Any) -> UsageError:
    """Return the error for a language that the tokenizer does not have, with similar names."""
    names = language_names(tokenizer)
    code = short_code(language)
    similar = [name for name in names if short_code(name) == code]
    similar = similar or [name for name in names if short_code(name)[:2] == code[:2]]
    hint = f" Similar: {one_of(similar)}." if similar else did_you_mean(language, names)
    return UsageError(
        f"{setting} is not a language of this checkpoint's tokenizer.{hint} All {len(names)}: {one_of(names)}"
    )


def target_code(tokenizer: Any, target: str | None) -> str:
    """Return the text before every source that names the target language (">>deu<< "), or an empty text.

    Only the tokenizers of Marian checkpoints for several target languages have such codes. Raises UsageError if `target` is
    not one of several codes.
    """
    codes: Sequence[str] = getattr(tokenizer, "supported_language_codes", None) or ()
    if f">>{target}<<" in codes:
        return f">>{target}<< "
    if len(codes) > 1:
        names = [code.strip("<>") for code in codes]
        raise UsageError(
            "this checkpoint translates into several languages, and reads the target language at the beginning of the source; "
            f'set task.target_language to one of {one_of(names)}, or task.prefix="" if the texts begin with a code such as '
            f"{codes[0]}"
        )
    return ""
