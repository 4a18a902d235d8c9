"""Continue prompts token by token with a decoder: greedy search, beam search or sampling.

Each row has its own random numbers, so a sampled text does not depend on the other rows of its batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft_toolkit.core.errors import UsageError
from ft_toolkit.tasks.base import ExportedTexts, Features, OnText, TaskSettings
from ft_toolkit.tasks.text.continuations import (
    Tokens,
    end_test,
    group,
    new_text,
    new_texts,
    random_numbers,
    repeat,
)
from ft_toolkit.tasks.text.decoding_loop import DecoderSteps, search_beams, write_texts
from ft_toolkit.tasks.text.search import OpenTexts, SearchSettings
from ft_toolkit.tasks.text.streaming import GrowingText

if TYPE_CHECKING:
    import torch


class DecodingSettings(TaskSettings):
    """Settings for the generation of a text, with the names of transformers' GenerationConfig."""

    # Maximum number of generated tokens, including the end token.
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] = 64
    # 1 is greedy search or sampling; larger values are beam search with this number of candidates.
    num_beams: Annotated[int, Field(ge=1, le=100)] = 1
    # Draw each token from the model's probabilities instead of the most likely token.
    do_sample: bool = False
    # Sampling: divisor of the logits. Values below 1 prefer likely tokens, values above 1 make the tokens more equal.
    temperature: Annotated[float, Field(gt=0)] = 1.0
    # Sampling: only this number of most likely tokens; 0 is all tokens.
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    # Sampling: only the most likely tokens whose probabilities add up to this (Holtzman et al. 2020, arXiv:1904.09751).
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    # Divisor of the positive logits of tokens that already occur, and factor on their negative ones (Keskar et al. 2019,
    # arXiv:1909.05858). 1.0 changes nothing.
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    # No sequence of this many tokens occurs twice in prompt and text; 0 turns this off.
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=1_000)] = 0
    # Sampling: the number of texts for each prompt.
    num_return_sequences: Annotated[int, Field(ge=1, le=100)] = 1
    # Sampling: the seed. The same seed and prompt give the same text on the same machine.
    sampling_seed: Annotated[int, Field(ge=0)] = 13
    # A text ends before the first of these strings.
    stop_strings: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)


@dataclass(frozen=True)
class Decoding:
    """The decoding settings of a model, with its end and pad tokens."""

    max_new_tokens: int
    end_id: int
    pad_id: int
    num_beams: int = 1
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    num_return_sequences: int = 1
    sampling_seed: int = 13
    stop_strings: tuple[str, ...] = ()


def load_decoding(values: Mapping[str, Any]) -> Decoding:
    """Rebuild decoding settings from their JSON form."""
    return Decoding(**{**values, "stop_strings": tuple(values["stop_strings"])})


def find_decoding(settings: DecodingSettings, tokenizer: Any, *, end_id: int | None = None) -> Decoding:
    """Return the settings of a recipe with the tokens of a tokenizer. `end_id` replaces its end token.

    Raises UsageError for a setting without effect.
    """
    defaults = DecodingSettings.model_fields
    if not settings.do_sample:
        for name in ("temperature", "top_k", "top_p", "num_return_sequences", "sampling_seed"):
            if getattr(settings, name) != defaults[name].default:
                raise UsageError(
                    f"task.{name} has no effect without sampling; set task.do_sample=true, or remove task.{name}"
                )
    if settings.num_beams > 1:
        if settings.do_sample:
            raise UsageError("task.do_sample and task.num_beams exclude each other; remove one of them")
        if settings.stop_strings:
            raise UsageError("task.stop_strings cannot be used with beam search; remove it, or set task.num_beams=1")
    names = [name for name in defaults if name not in ("name", "stop_strings")]
    chosen = {name: getattr(settings, name) for name in names}
    return Decoding(
        end_id=tokenizer.eos_token_id if end_id is None else end_id,
        pad_id=tokenizer.pad_token_id,
        stop_strings=tuple(settings.stop_strings),
        **chosen,
    )


def generation_config(decoding: Decoding) -> Any:
    """Return the settings for plain transformers. Stop strings are left out: they need a tokenizer there."""
    from transformers import GenerationConfig

    sampling = {
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "num_return_sequences": decoding.num_return_sequences,
    }
    return GenerationConfig(
        **(sampling if decoding.do_sample else {}),  # transformers refuses to save settings without effect
        do_sample=decoding.do_sample,
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens,
        repetition_penalty=decoding.repetition_penalty,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        eos_token_id=decoding.end_id,
        pad_token_id=decoding.pad_id,
        use_cache=True,
    )


def prompt_limit(decoding: Decoding, max_positions: int | None, max_length: int, least: int) -> int:
    """Return the maximum number of tokens of a prompt, beside which the generated text fits into the model.

    `max_positions` is the number of positions of the model, None for no limit. Raises UsageError if less than `least` remains.
    """
    if max_positions is None:
        return max_length
    room = max_positions - decoding.max_new_tokens
    if room < least:
        raise UsageError(
            f"task.max_new_tokens={decoding.max_new_tokens} leaves no room for a prompt; the model has {max_positions} "
            "positions. Reduce it"
        )
    return min(max_length, room)


def continue_prompts(
    model: Any, prompts: Sequence[Tokens], decoding: Decoding, tokenizer: Any, on_text: OnText | None = None
) -> list[list[str]]:
    """Return num_return_sequences continuations of each prompt, without special tokens, cut before a stop string.

    The pieces of the first text are passed to `on_text` while it is written; beam search passes on nothing, because its
    best text is known only at the end. If `on_text` returns False, all texts end.
    """
    repeated = repeat(prompts, decoding.num_return_sequences)
    written = _write(_base(model), repeated, decoding, tokenizer, on_text)
    return group(new_texts(repeated, written, tokenizer, decoding.stop_strings), decoding.num_return_sequences)


def _write(
    model: Any, prompts: Sequence[Tokens], decoding: Decoding, tokenizer: Any, on_text: OnText | None
) -> list[list[int]]:
    """Return the new tokens after each prompt."""
    settings = SearchSettings(
        decoding.max_new_tokens,
        decoding.end_id,
        num_beams=decoding.num_beams,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        repetition_penalty=decoding.repetition_penalty,
    )
    steps = DecoderSteps(model, prompts, decoding.pad_id)
    if decoding.num_beams > 1:
        return search_beams(steps, prompts, settings)
    is_finished = end_test(prompts, decoding.end_id, decoding.stop_strings, tokenizer)
    randoms = random_numbers(prompts, decoding.num_return_sequences, decoding.sampling_seed)

    def choose(scores: torch.Tensor, rows: Sequence[int]) -> list[int]:
        return _choose(scores, [randoms[row] for row in rows], decoding)

    on_tokens = None
    if on_text is not None:
        pieces = GrowingText(on_text, decoding.stop_strings)
        on_tokens = lambda tokens: pieces.show(new_text(prompts[0], tokens, tokenizer))  # noqa: E731
    texts = OpenTexts(prompts, decoding.max_new_tokens, is_finished)
    return write_texts(steps, texts, settings, choose, on_tokens)


def exported_texts(
    prompts_of: Callable[[Features], Sequence[Tokens]],
    values_of: Callable[[list[list[str]], Features], list[Any]],
    decoding_of: Callable[[Any], Decoding],
) -> ExportedTexts:
    """Return how an exported model continues prompts.

    `prompts_of` returns the prompts of features, `values_of` the values of `Task.generate` from the samples of each prompt, and
    `decoding_of` the settings in a schema.
    """

    def settings(schema: Any) -> dict[str, Any]:
        decoding = decoding_of(schema)
        names = ("do_sample", "temperature", "top_k", "top_p", "num_return_sequences", "sampling_seed")
        return {name: getattr(decoding, name) for name in names} | {"stop_strings": list(decoding.stop_strings)}

    return ExportedTexts(
        prompts=lambda features, schema: repeat(prompts_of(features), decoding_of(schema).num_return_sequences),
        texts=lambda prompts, tokens, tokenizer, schema: new_texts(
            prompts, tokens, tokenizer, decoding_of(schema).stop_strings
        ),
        values=lambda texts, features, schema: values_of(
            group(texts, decoding_of(schema).num_return_sequences), features
        ),
        growing_text=lambda prompt, tokens, tokenizer, schema: new_text(prompt, tokens, tokenizer),
        settings=settings,
    )


def _base(model: Any) -> Any:
    """Return the transformers model inside an adapter, or the model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _choose(scores: torch.Tensor, randoms: Sequence[random.Random], decoding: Decoding) -> list[int]:
    """Return the next token of each row: the most likely one, or one drawn with the row's random number."""
    import torch
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    if not decoding.do_sample:
        return list(map(int, scores.argmax(-1).tolist()))
    ids = torch.empty(0)  # the warpers do not read the tokens
    if decoding.temperature != 1:
        scores = TemperatureLogitsWarper(decoding.temperature)(ids, scores)
    if decoding.top_k:
        scores = TopKLogitsWarper(decoding.top_k)(ids, scores)
    if decoding.top_p < 1:
        scores = TopPLogitsWarper(decoding.top_p)(ids, scores)
    sums = scores.double().softmax(-1).cumsum(-1)
    drawn = torch.tensor([[numbers.random()] for numbers in randoms], dtype=sums.dtype, device=sums.device)
    # right=True: a token of probability 0 is never drawn, even by the number 0
    tokens = torch.searchsorted(sums, drawn * sums[:, -1:], right=True)
    return list(map(int, tokens.squeeze(1).clamp(max=scores.shape[1] - 1).tolist()))
