"""Texts that continue a prompt: their text, their end, and the random numbers of their samples. No torch.

The full toolkit (`decoding.py`) and the runtime of exported models use these functions, so that both give the same texts.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from ft_toolkit.tasks.text.streaming import before_stop

Tokens = Sequence[int]
# (number of a text, the tokens of its prompt and its new tokens) -> whether the text is finished.
EndTest = Callable[[int, Tokens], bool]
# Tokens of the prompt that are decoded together with the new tokens, because the text of a token may depend on those before it.
_CONTEXT = 8


def repeat(prompts: Sequence[Tokens], n_samples: int) -> list[Tokens]:
    """Return each prompt once per sample, the samples of a prompt one after the other."""
    return [prompt for prompt in prompts for _ in range(n_samples)]


def group(texts: Sequence[str], n_samples: int) -> list[list[str]]:
    """Return the samples of each prompt, the inverse of `repeat`."""
    return [list(texts[start : start + n_samples]) for start in range(0, len(texts), n_samples)]


def new_text(prompt: Tokens, tokens: Tokens, tokenizer: Any) -> str:
    """Return the text of new tokens after a prompt, without special tokens."""
    before = list(prompt[-_CONTEXT:])
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    context, both = tokenizer.batch_decode([before, [*before, *tokens]], **options)
    return str(both[len(context) :])


def new_texts(
    prompts: Sequence[Tokens], tokens: Sequence[Tokens], tokenizer: Any, stop_strings: Sequence[str]
) -> list[str]:
    """Return the text of the new tokens of each prompt, up to the first stop string."""
    pairs = zip(prompts, tokens, strict=True)
    return [before_stop(new_text(prompt, new, tokenizer), stop_strings) for prompt, new in pairs]


def random_numbers(prompts: Sequence[Tokens], n_samples: int, seed: int) -> list[random.Random]:
    """Return the random numbers of each text, from the seed, its prompt and the number of the sample.

    `prompts` is the result of `repeat`. Python's generator draws the numbers, so they do not depend on torch.
    """
    return [random.Random(f"{seed} {i % n_samples} {list(prompt)}") for i, prompt in enumerate(prompts)]


def end_test(prompts: Sequence[Tokens], end_id: int, stop_strings: Sequence[str], tokenizer: Any) -> EndTest:
    """Return the test whether a text has its end token or a stop string."""

    def is_finished(number: int, tokens: Tokens) -> bool:
        if tokens[-1] == end_id:
            return True
        if not stop_strings:
            return False
        text = new_text(prompts[number], tokens[len(prompts[number]) :], tokenizer)
        return any(stop in text for stop in stop_strings)

    return is_finished
