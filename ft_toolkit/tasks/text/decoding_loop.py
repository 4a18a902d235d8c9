"""Generate the tokens of a batch with a decoder or an encoder-decoder and a cache of keys and values.

    prompts or sources ---> first logits ---> search: rows that continue, next tokens ---> next logits ---> ...

Finished texts leave the batch. The keys and values of a source are computed once, and selected only when texts leave.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ft_toolkit.tasks.text.continuations import Tokens
from ft_toolkit.tasks.text.prompts import left_padded
from ft_toolkit.tasks.text.search import OpenBeams, OpenTexts, SearchSettings, restrict

if TYPE_CHECKING:
    import torch

# Encoder-decoders that are tested to give the same texts as transformers' `generate`; others use `generate` itself.
ENCODER_DECODERS = (
    "bart",
    "blenderbot",
    "encoder-decoder",
    "m2m_100",
    "marian",
    "mbart",
    "mt5",
    "pegasus",
    "plbart",
    "t5",
    "umt5",
)
# Decoders, tested, whose attention depends only on the mask; others may number positions by the mask or limit its window.
_PLAIN_DECODERS = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
# Returns the next token of each row from its scores, shape (rows, vocabulary), for the texts of the rows.
Choose = Callable[["torch.Tensor", Sequence[int]], list[int]]


class Steps(Protocol):
    """The model with its cache. Each step returns the logits of the next token, (rows, vocabulary), in float32."""

    def first(self) -> torch.Tensor:
        """Return the logits after the contexts."""

    def next(self, rows: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits after one more token of these rows of the last step."""


class DecoderSteps:
    """A decoder that continues prompts. They are padded on the left, so that all rows write at the same position."""

    def __init__(self, model: Any, prompts: Sequence[Tokens], pad_id: int) -> None:
        """Pad the prompts."""
        from ft_toolkit.tasks.text.kv_cache import new_cache

        self._model = model
        accepted = inspect.signature(model.forward).parameters
        self._options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._has_positions = "position_ids" in accepted
        self._cache = new_cache(model.config)
        self._has_wide_mask = takes_wide_masks(model.config, _PLAIN_DECODERS) and not any(self._cache.is_sliding)
        self._ids, self._mask = padded(prompts, pad_id, model.device)

    def first(self) -> torch.Tensor:
        self._positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        return self._run(self._ids)

    def next(self, rows: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        import torch

        self._positions = self._positions[:, -1:] + 1
        if list(rows) != list(range(len(self._mask))):
            chosen = torch.tensor(rows, device=self._mask.device)
            self._cache.batch_select_indices(chosen)
            self._mask, self._positions = self._mask[chosen], self._positions[chosen]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(rows), 1)], 1)
        return self._run(torch.tensor(tokens, device=self._mask.device)[:, None])

    def _run(self, ids: torch.Tensor) -> torch.Tensor:
        if self._has_positions:
            self._options["position_ids"] = self._positions
        mask = wide_mask(self._mask) if self._has_wide_mask and ids.shape[1] == 1 else self._mask
        outputs = self._model(
            input_ids=ids, attention_mask=mask, past_key_values=self._cache, use_cache=True, **self._options
        )
        return last_logits(outputs)


class EncoderDecoderSteps:
    """An encoder-decoder that reads sources once. `inputs` are input_ids and attention_mask, (texts, tokens)."""

    def __init__(self, model: Any, inputs: dict[str, torch.Tensor], start_id: int) -> None:
        """Encode the sources. The decoder begins with `start_id`."""

        from ft_toolkit.tasks.text.kv_cache import new_cache_with_source

        self._model, self._mask = model, inputs["attention_mask"]
        self._source = model.get_encoder()(**inputs, return_dict=True).last_hidden_state
        self._cache = new_cache_with_source(model.config.get_text_config(decoder=True))
        self._has_wide_masks = takes_wide_masks(model.config, ENCODER_DECODERS)
        if self._has_wide_masks:
            self._mask = wide_mask(self._mask)
        self._ids = inputs["input_ids"].new_full((len(self._mask), 1), start_id)
        # The text of each row.
        self._texts = list(range(len(self._mask)))

    def first(self) -> torch.Tensor:
        return self._run(self._ids)

    def next(self, rows: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        import torch

        device = self._mask.device
        if list(rows) != list(range(len(self._texts))):
            chosen = torch.tensor(rows, device=device)
            self._cache.self_attention_cache.batch_select_indices(chosen)
            texts = [self._texts[row] for row in rows]
            if texts != self._texts:
                self._cache.cross_attention_cache.batch_select_indices(chosen)
                self._source, self._mask, self._texts = self._source[chosen], self._mask[chosen], texts
        return self._run(torch.tensor(tokens, device=device)[:, None])

    def _run(self, ids: torch.Tensor) -> torch.Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        n_tokens = self._cache.get_seq_length() + 1
        mask = self._mask.new_ones(len(ids), 1, 1, n_tokens) if self._has_wide_masks else None
        outputs = self._model(
            encoder_outputs=BaseModelOutput(self._source),
            attention_mask=self._mask,
            decoder_input_ids=ids,
            decoder_attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
        )
        return last_logits(outputs)


def takes_wide_masks(config: Any, model_types: Sequence[str]) -> bool:
    """Return whether a model reads a mask of each row as it is, instead of building it anew in each step."""
    return config.model_type in model_types and config._attn_implementation == "sdpa"


def wide_mask(mask: torch.Tensor) -> torch.Tensor:
    """Return an attention mask, (rows, tokens), as (rows, heads, positions, tokens) for any head and position."""
    return mask[:, None, None].bool()


def last_logits(outputs: Any) -> torch.Tensor:
    """Return a copy of the logits of the last position in float32, which a search may change."""
    import torch

    logits: torch.Tensor = outputs.logits[:, -1].to(torch.float32, copy=True)
    return logits


def padded(prompts: Sequence[Tokens], pad_id: int, device: Any) -> list[torch.Tensor]:
    """Return token ids and attention mask, shape (prompts, width), padded on the left."""
    import torch

    return [torch.from_numpy(array).to(device) for array in left_padded(prompts, pad_id)]


def most_likely(scores: torch.Tensor, texts: Sequence[int]) -> list[int]:
    """Return the token with the highest score of each row."""
    return list(map(int, scores.argmax(-1).tolist()))


def write_texts(
    steps: Steps,
    texts: OpenTexts,
    settings: SearchSettings,
    choose: Choose = most_likely,
    on_tokens: Callable[[Tokens], bool] | None = None,
) -> list[list[int]]:
    """Return the tokens of each text, one choice per step; with end token where a text has one.

    The tokens of the first text are passed to `on_tokens` after each step. If it returns False, all texts end.
    """
    logits = steps.first()
    while True:
        scores = restrict(logits, texts, settings, _log_softmax)
        rows, tokens = texts.take(choose(scores, texts.open))
        if (on_tokens is not None and not on_tokens(texts.text(0))) or not rows:
            return texts.texts()
        logits = steps.next(rows, tokens)


def search_beams(steps: Steps, contexts: Sequence[Tokens], settings: SearchSettings) -> list[list[int]]:
    """Return the tokens of the best beam of each text. `contexts` are the tokens before them."""
    n_beams, beams = settings.num_beams, OpenBeams(settings, contexts)
    logits = steps.first().repeat_interleave(n_beams, 0)
    while True:
        scores = restrict(_log_softmax(logits), beams, settings, _log_softmax)
        vocabulary = scores.shape[1]
        sums = scores + scores.new_tensor(beams.scores())[:, None]
        best = sums.view(-1, n_beams * vocabulary).topk(2 * n_beams)
        rows, tokens = beams.take(best.values.tolist(), best.indices.tolist(), vocabulary)
        if not rows:
            return beams.texts()
        logits = steps.next(rows, tokens)


def _log_softmax(scores: torch.Tensor) -> torch.Tensor:
    return scores.log_softmax(-1)
