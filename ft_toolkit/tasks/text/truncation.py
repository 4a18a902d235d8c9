"""Tokenize texts, and cut those that are longer than the model's input."""

from collections.abc import Sequence
from typing import Any


def tokenize_and_cut(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> tuple[dict[str, list[list[int]]], list[int]]:
    """Return the inputs of each text, or pair of texts, with at most `max_length` tokens, and the number of tokens cut from it.

    Single texts are tokenized once. Long pairs are tokenized twice, and so are long texts without a fast tokenizer: the tokens
    that were cut are not given for them.
    """
    if not texts:
        return {"input_ids": []}, []
    cut = {"truncation": True, "max_length": max_length, "return_attention_mask": False}
    if pairs is None and tokenizer.is_fast:
        encoded = tokenizer(list(texts), **cut)
        n_special = len(tokenizer("", verbose=False)["input_ids"])
        # the tokens that were cut are in parts, each with the special tokens around it
        n_cut = [sum(len(part) - n_special for part in one.overflowing) for one in encoded.encodings]
        return {name: list(values) for name, values in encoded.items()}, n_cut
    encoded = tokenizer(list(texts), pairs and list(pairs), return_attention_mask=False, verbose=False)
    inputs = {name: list(values) for name, values in encoded.items()}
    n_cut = [0] * len(texts)
    if too_long := [i for i, ids in enumerate(inputs["input_ids"]) if len(ids) > max_length]:
        shorter = tokenizer([texts[i] for i in too_long], [pairs[i] for i in too_long] if pairs else None, **cut)
        for position, i in enumerate(too_long):
            n_cut[i] = len(inputs["input_ids"][i]) - len(shorter["input_ids"][position])
            for name in inputs:
                inputs[name][i] = shorter[name][position]
    return inputs, n_cut
