"""Continuations: the same greedy texts as plain transformers, penalties, sampling by seed, stop strings and streaming."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from ft_toolkit.core.errors import UsageError
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.tasks.text.continuations import random_numbers
from ft_toolkit.tasks.text.decoding import (
    Decoding,
    DecodingSettings,
    _choose,
    continue_prompts,
    find_decoding,
    generation_config,
)

PROMPTS = ["Where is my parcel", "Hi", "The lamp that I ordered in March is broken and", "Refund"]


class Writer:
    """A tiny decoder with random weights, large enough that its texts are not constant."""

    def __init__(self, folder: str) -> None:
        self.tokenizer = load_tokenizer(Path(folder))
        torch.manual_seed(1)
        config = AutoModelForCausalLM.from_pretrained(folder).config
        config.initializer_range = 0.4
        self.model = AutoModelForCausalLM.from_config(config).eval()
        self.prompts = [self.tokenizer(text)["input_ids"] for text in PROMPTS]
        self.decoding = Decoding(12, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)

    def texts(self, prompts: Any = None, on_text: Any = None, **changes: Any) -> list[list[str]]:
        decoding = replace(self.decoding, **changes)
        with torch.inference_mode():
            return continue_prompts(self.model, prompts or self.prompts, decoding, self.tokenizer, on_text)

    def by_transformers(self, prompt: list[int], **changes: Any) -> str:
        config = generation_config(replace(self.decoding, **changes))
        ids = torch.tensor([prompt])
        tokens = self.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        return str(self.tokenizer.decode(tokens[0, len(prompt) :], skip_special_tokens=True))


@pytest.fixture(params=["gpt2", "llama"])
def writer(request: pytest.FixtureRequest, tiny: Any) -> Writer:
    return Writer(tiny(request.param))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_new_tokens": 5},
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": 2, "repetition_penalty": 0.8},
        {"num_beams": 3},
        {"num_beams": 3, "repetition_penalty": 0.5},
        {"num_beams": 3, "no_repeat_ngram_size": 1},
    ],
    ids=str,
)
def test_a_batch_has_the_texts_of_transformers(writer: Writer, changes: dict[str, Any]) -> None:
    texts = writer.texts(**changes)
    assert texts == [[writer.by_transformers(prompt, **changes)] for prompt in writer.prompts]
    assert len({text for (text,) in texts}) > 1


def test_a_finished_row_leaves_the_batch(writer: Writer) -> None:
    """Take a letter of a text as end token: this row ends early, others continue unchanged."""
    unchanged = [text for (text,) in writer.texts()]
    letter = next(letter for letter in unchanged[0] if letter.isascii() and letter.isprintable())
    (end,) = writer.tokenizer(letter, add_special_tokens=False)["input_ids"]
    texts = writer.texts(end_id=end)
    assert texts == [writer.texts([prompt], end_id=end)[0] for prompt in writer.prompts]
    assert (
        texts[0][0] == unchanged[0][: unchanged[0].index(letter) + 1]
    )  # plain letters are not special tokens, so the text shows it
    assert any(letter not in text for text in unchanged)


def test_sampling_depends_on_seed_and_prompt_alone(writer: Writer) -> None:
    sampled = {"do_sample": True, "num_return_sequences": 2}
    texts = writer.texts(**sampled)
    assert texts == writer.texts(**sampled)
    assert texts == [writer.texts([prompt], **sampled)[0] for prompt in writer.prompts]
    assert all(first != second for first, second in texts)
    assert texts != writer.texts(sampling_seed=5, **sampled)


def test_narrow_sampling_is_greedy_search(writer: Writer) -> None:
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert writer.texts(do_sample=True, **narrow) == writer.texts()


def test_tokens_are_drawn_with_their_probabilities() -> None:
    decoding = Decoding(1, 0, 0, do_sample=True, temperature=2.0, top_k=3)
    scores = 2 * torch.tensor([[0.5, 0.25, 0.125, 0.125 / 2, 0.125 / 2]]).log()
    prompts = [[number] for number in range(4000)]
    tokens = _choose(
        scores.repeat(4000, 1), random_numbers(prompts, decoding.num_return_sequences, decoding.sampling_seed), decoding
    )
    counts = Counter(tokens)
    assert set(counts) == {0, 1, 2}
    for token, share in enumerate((4 / 7, 2 / 7, 1 / 7)):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_a_text_ends_before_a_stop_string(writer: Writer) -> None:
    ((text,), *_) = writer.texts()
    stop = text[4:6]
    ((stopped,), *_) = writer.texts(stop_strings=("never written", stop))
    assert stopped == text[: text.index(stop)]


@pytest.mark.parametrize("changes", [{}, {"do_sample": True}, {"num_beams": 2}, {"stop_strings": True}], ids=str)
def test_the_pieces_of_a_stream_are_the_text(writer: Writer, changes: dict[str, Any]) -> None:
    if "stop_strings" in changes:
        text = writer.texts()[0][0]
        changes = {"stop_strings": (text[3:6], text[5] + "~")}
    ((text,),) = writer.texts(writer.prompts[:1], **changes)
    pieces: list[str] = []
    assert writer.texts(writer.prompts[:1], on_text=lambda piece: pieces.append(piece) is None, **changes) == [[text]]
    assert text.startswith("".join(pieces)) and all(pieces)
    if "num_beams" in changes:
        assert pieces == []
    else:
        assert len(text) - len("".join(pieces)) <= text.count("\ufffd")
        assert len(pieces) > 1 or "stop_strings" in changes


def test_a_text_ends_when_the_reader_wants_no_more(writer: Writer) -> None:
    ((text,),) = writer.texts(writer.prompts[:1])
    ((stopped,),) = writer.texts(writer.prompts[:1], on_text=lambda piece: False)
    assert text.startswith(stopped.rstrip("\ufffd")) and len(stopped) < len(text)


def test_settings_without_effect_are_refused(tiny_gpt2: str) -> None:
    tokenizer = load_tokenizer(Path(tiny_gpt2))

    def refusal(**values: Any) -> str:
        with pytest.raises(UsageError) as refused:
            find_decoding(DecodingSettings(name="x", **values), tokenizer)
        return str(refused.value)

    for name, value in {
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.5,
        "num_return_sequences": 2,
        "sampling_seed": 1,
    }.items():
        assert f"task.{name} has no effect without sampling; set task.do_sample=true" in refusal(**{name: value})
    assert "exclude each other" in refusal(do_sample=True, num_beams=2)
    assert "cannot be used with beam search" in refusal(num_beams=2, stop_strings=["."])
