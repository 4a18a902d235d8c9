"""The token before every text of a decoder."""

from __future__ import annotations

from typing import Any

from ft_toolkit.core.errors import ModelError


def find_start_token(tokenizer: Any) -> int:
    """Return the id of the token before every text: bos, else eos. Raises ModelError for a tokenizer without them."""
    start_id = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if start_id is None or tokenizer.eos_token_id is None:
        raise ModelError("text generation requires a tokenizer with an end-of-text token (eos_token)")
    if not tokenizer.is_fast:
        raise ModelError("text generation requires a fast tokenizer (tokenizer.json), which can add the start token")
    return int(start_id)


def add_start_token(tokenizer: Any, start_id: int) -> None:
    """Let the tokenizer write the start token before a text, and no token after it.

    The saved tokenizer keeps this, so that transformers alone gives a prompt to the model as the training did.
    """
    from tokenizers import processors

    if tokenizer("a", verbose=False)["input_ids"] == [start_id, *tokenizer("a", add_special_tokens=False)["input_ids"]]:
        return
    token = tokenizer.convert_ids_to_tokens(start_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", "$B"], special_tokens=[(token, start_id)]
    )
