"""What a tokenizer changes in a text: case, accents, unknown characters."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

from ft_toolkit.data.tokenizer_changes import describe_normalization, unknown_token_notes
from ft_toolkit.models.pretrained import load_tokenizer


@pytest.mark.parametrize(
    ("normalizer", "text"),
    [
        (None, ""),
        (normalizers.NFKC(), ""),
        (normalizers.NFD(), ""),
        (normalizers.Lowercase(), "lowercases texts"),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "removes accents"),
        (normalizers.BertNormalizer(lowercase=True), "lowercases texts and removes accents"),
        (normalizers.BertNormalizer(lowercase=False), ""),
        (normalizers.Sequence([normalizers.Lowercase(), normalizers.Prepend("\u2581")]), "lowercases texts"),
    ],
)
def test_the_normalizer_is_described(normalizer: Any, text: str) -> None:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    assert describe_normalization(PreTrainedTokenizerFast(tokenizer_object=tokenizer)) == text


def test_unknown_tokens_are_reported_from_one_percent_on(tiny: Any) -> None:
    tokenizer = load_tokenizer(Path(tiny("bert")))
    ids = tokenizer(["the lamp", "灯坏了"])["input_ids"]
    (note,) = unknown_token_notes(ids, tokenizer)
    assert note.startswith("33% of the tokens are [UNK]: the model cannot read these parts of the texts.")
    assert unknown_token_notes([*ids, [5] * 1000], tokenizer) == [] == unknown_token_notes(ids[:1], tokenizer)
    gpt2 = load_tokenizer(Path(tiny("gpt2")))
    assert unknown_token_notes([[gpt2.eos_token_id]], gpt2) == []
