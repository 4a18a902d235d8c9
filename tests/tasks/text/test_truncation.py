"""Texts that are cut: the tokens of the tokenizer's own truncation, and the number of tokens that are missing."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ft_toolkit.models.tiny import ARCHITECTURES
from ft_toolkit.tasks.text.truncation import tokenize_and_cut

TEXTS = ["", "one", "good bad " * 30, "[SEP] </s> <s> it is a story " * 9, "été 漢字 \n tab\there " * 5, " "]


# The library combines each part of a text with each part of its pair: 73,000 encodings for 270 bytes each and 8 tokens.
SHORT = [text[:40] for text in TEXTS]
CASES = [(n, TEXTS, None) for n in (5, 8, 64)] + [(n, SHORT, SHORT[::-1]) for n in (5, 8)] + [(64, TEXTS, TEXTS[::-1])]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_the_tokens_are_those_of_two_passes(tiny_tokenizer: Callable[[str], Path], architecture: str) -> None:
    folder = tiny_tokenizer(architecture)
    for side, (max_length, texts, pairs) in itertools.product(["right", "left"], CASES):
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, truncation_side=side)
        inputs, n_cut = tokenize_and_cut(tokenizer, texts, pairs, max_length)
        full = tokenizer(texts, pairs, return_attention_mask=False)
        cut = tokenizer(texts, pairs, truncation=True, max_length=max_length, return_attention_mask=False)
        assert inputs == dict(cut)
        assert n_cut == [len(a) - len(b) for a, b in zip(full["input_ids"], cut["input_ids"], strict=True)]
        assert sum(n_cut) > 0 and max(map(len, inputs["input_ids"])) <= max_length


def test_no_texts_have_no_tokens(tiny_tokenizer: Callable[[str], Path]) -> None:
    assert tokenize_and_cut(AutoTokenizer.from_pretrained(tiny_tokenizer("bert")), [], None, 8) == (
        {"input_ids": []},
        [],
    )
