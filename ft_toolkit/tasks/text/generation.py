"""Text generation with any kind of checkpoint, for summarization and translation.

Encoder-decoders (T5, BART, Marian) read the source and generate the target. Decoders (GPT-2, Llama) read a prompt that contains
the source and continue it; the loss covers the target only. An encoder (BERT) becomes an encoder-decoder of two copies, with
new cross-attention in the second one (Rothe et al. 2020, arXiv:1907.12461).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.tasks.base import Batch, ExportedTexts, Features, Kind, OnText, Pretrained, TaskSettings
from ft_toolkit.tasks.text.continuations import end_test
from ft_toolkit.tasks.text.decoding_loop import (
    ENCODER_DECODERS,
    DecoderSteps,
    EncoderDecoderSteps,
    Steps,
    padded,
    search_beams,
    write_texts,
)
from ft_toolkit.tasks.text.language_tokens import Languages, LanguageToken, find_language_token
from ft_toolkit.tasks.text.positions import input_positions, target_positions
from ft_toolkit.tasks.text.search import OpenTexts, search_settings
from ft_toolkit.tasks.text.streaming import GrowingText, PieceStreamer
from ft_toolkit.tasks.text.token_targets import IGNORED, at_positions

if TYPE_CHECKING:
    import torch

AUTO_CLASS: dict[Kind, str] = {
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "decoder": "AutoModelForCausalLM",
    "encoder": "EncoderDecoderModel",
}
# Generation settings that are kept from the checkpoint, because they concern its tokens; the recipe sets all others.
_KEPT = (
    "bos_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "renormalize_logits",
)


class GenerationSettings(TaskSettings):
    """Settings for targets and generation, with the names of transformers' GenerationConfig."""

    # Maximum number of target tokens, including the end token. Longer targets are cut (without end token); generation stops.
    max_target_length: Annotated[int, Field(ge=2, le=100_000)] = 128
    # 1 is greedy search; larger values are beam search with this number of candidates.
    num_beams: Annotated[int, Field(ge=1, le=100)] = 1
    # Exponent of the length that divides the log-probability of a beam; larger values prefer longer texts.
    length_penalty: float = 1.0
    # No sequence of this many tokens occurs twice in a generated text; 0 turns this off.
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=1_000)] = 0
    # Minimum number of generated tokens before the end token.
    min_new_tokens: Annotated[int, Field(ge=0, le=100_000)] = 0
    # Encoder-decoders and encoders: text before every source. Default: the prefix that the checkpoint was trained with (T5).
    prefix: str | None = None
    # Decoders: the text directly before the target; end it with a newline or a space. Default: the prompt of the task.
    prompt: str | None = None
    # Share of the target probability that is spread evenly over the vocabulary (Szegedy et al. 2016). Common for translation:
    # 0.1. 0.0: cross entropy.
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class Schema:
    """Facts that the model needs: the text around a source, limits in tokens, generation settings and special tokens."""

    kind: Kind
    before: str
    after: str
    max_target_length: int
    num_beams: int
    length_penalty: float
    no_repeat_ngram_size: int
    min_new_tokens: int
    eos_token_id: int
    pad_token_id: int
    # None for decoders.
    decoder_start_token_id: int | None
    # The number of positions of the model; None for relative positions (T5).
    max_positions: int | None
    source_language: str | None = None
    target_language: str | None = None
    # The token of the target language: the first label, which generation forces (NLLB, mBART-50, M2M-100). None for checkpoints
    # without language tokens.
    language_token_id: int | None = None
    # mBART-25, PLBART: the token of the target language is the start token of the decoder and the last label instead.
    language_starts_decoder: bool = False
    # The number of positions of the decoder, where an encoder-decoder has another number for it (LED).
    max_target_positions: int | None = None
    label_smoothing: float = 0.0


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**values)


def find_schema(
    settings: GenerationSettings,
    pretrained: Pretrained,
    *,
    prefix: str,
    prompt: str,
    placeholder: str,
    languages: Languages = (None, None),
) -> Schema:
    """Find the special tokens of the checkpoint and the text around a source.

    `prefix` and `prompt` are the defaults of the task; `placeholder` marks the source in a prompt. Raises UsageError for a
    prompt without it, for a setting without effect and for an unknown language, ModelError for a checkpoint without a
    required token.
    """
    kind, config, tokenizer = pretrained.kind, pretrained.config, pretrained.tokenizer
    other = settings.prefix if kind == "decoder" else settings.prompt
    if other is not None:
        name, used = ("prefix", "prompt") if kind == "decoder" else ("prompt", "prefix")
        raise UsageError(f"task.{name} has no effect on a checkpoint of kind {kind}; use task.{used}, or remove it")
    if settings.min_new_tokens >= settings.max_target_length:
        raise UsageError(
            f"task.min_new_tokens={settings.min_new_tokens} must be smaller than "
            f"task.max_target_length={settings.max_target_length}"
        )
    before, after = (prefix if settings.prefix is None else settings.prefix), ""
    if kind == "decoder":
        template = prompt if settings.prompt is None else settings.prompt
        before, match, after = template.partition(placeholder)
        if not match:
            raise UsageError(f"task.prompt must contain {placeholder}, which marks the text; found {template!r}")
    language = find_language_token(tokenizer, languages)
    return Schema(
        kind,
        before,
        after,
        settings.max_target_length,
        settings.num_beams,
        settings.length_penalty,
        settings.no_repeat_ngram_size,
        settings.min_new_tokens,
        *_special_tokens(pretrained, language),
        _known(input_positions(config), tokenizer),
        *languages,
        None if language is None else language.token_id,
        language is not None and language.starts_decoder,
        None if target_positions(config) == input_positions(config) else target_positions(config),
        settings.label_smoothing,
    )


def _special_tokens(pretrained: Pretrained, language: LanguageToken | None) -> tuple[int, int, int | None]:
    """Return the end token, the pad token and the start token of the decoder (None for kind decoder)."""
    kind, config, tokenizer = pretrained.kind, pretrained.config, pretrained.tokenizer
    eos = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    start = {"encoder": tokenizer.cls_token_id, "decoder": None}.get(
        kind, _config_value(config, "decoder_start_token_id")
    )
    if language is not None and language.starts_decoder:
        start = language.token_id
    if eos is None or tokenizer.pad_token_id is None or (start is None and kind != "decoder"):
        raise ModelError(
            "generation requires "
            + ("an end token" if eos is None else "a start token of the decoder (decoder_start_token_id, or [CLS])")
            + f"; this {config.model_type} checkpoint has none"
        )
    return eos, tokenizer.pad_token_id, start


def _config_value(config: Any, name: str) -> Any:
    """Return a value of the config, otherwise of its decoder's config."""
    value = getattr(config, name, None)
    return getattr(getattr(config, "decoder", None), name, None) if value is None else value


def _known(n_positions: int | None, tokenizer: Any) -> int | None:
    """Return the number of positions, or the smaller limit of the tokenizer."""
    return None if n_positions is None else min(n_positions, tokenizer.model_max_length)


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the sum of the cross entropy over the target tokens, with the label smoothing of the recipe, in float32."""
    from torch.nn import functional

    if schema.kind == "decoder":
        mask = _predicting(batch)
        targets = batch.targets[:, 1:][mask[:, :-1]]
    else:
        mask = batch.targets != IGNORED
        targets = batch.targets[mask]
    logits = at_positions(outputs.logits, mask)
    return functional.cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=schema.label_smoothing)


def logit_positions(batch: Batch, schema: Schema) -> torch.Tensor | None:
    """Return the positions at which the decoder predicts target tokens: in its own input, if it has one."""
    if not batch.targets.numel():
        return None
    return _predicting(batch) if schema.kind == "decoder" else batch.targets != IGNORED


def _predicting(batch: Batch) -> torch.Tensor:
    from torch.nn import functional

    # a token is predicted at the previous position
    return functional.pad(batch.targets[:, 1:], (0, 1), value=IGNORED) != IGNORED


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return no changes of the checkpoint's config."""
    return {}


def configure(model: Any, schema: Schema) -> None:
    """Set the generation settings of the model, so that its saved folder generates the same texts without this toolkit."""
    model.generation_config = generation_config(model, schema)


def generation_config(model: Any, schema: Schema) -> Any:
    """Return the generation settings of the recipe with the special tokens of the checkpoint. Generation never samples."""
    from transformers import GenerationConfig

    kept = {name: getattr(model.generation_config, name, None) for name in _KEPT}
    beams: dict[str, Any] = {}
    if schema.num_beams > 1:  # transformers refuses to save settings without effect
        beams = {"length_penalty": schema.length_penalty, "early_stopping": False}
    if schema.language_token_id is not None:  # the checkpoint may force the token of another language
        kept["forced_bos_token_id"] = None if schema.language_starts_decoder else schema.language_token_id
    return GenerationConfig(
        **{name: value for name, value in kept.items() if value is not None},
        **beams,
        do_sample=False,
        num_beams=schema.num_beams,
        no_repeat_ngram_size=schema.no_repeat_ngram_size,
        max_new_tokens=schema.max_target_length,
        min_new_tokens=schema.min_new_tokens,
        eos_token_id=schema.eos_token_id,
        pad_token_id=schema.pad_token_id,
        decoder_start_token_id=schema.decoder_start_token_id,
        use_cache=True,
    )


def generate(model: Any, batch: Batch, schema: Schema, tokenizer: Any) -> list[str]:
    """Return the generated text of each feature, without special tokens and surrounding white space."""
    return _generate(model, batch, schema, tokenizer, None)


def stream(model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText) -> list[str]:
    """Return the text of a batch of one feature as `generate` does, and pass it to `on_text` while it is generated.

    Beam search passes on nothing, because its best text is known only at the end.
    """
    return _generate(model, batch, schema, tokenizer, None if schema.num_beams > 1 else on_text)


def _generate(model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText | None) -> list[str]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # the model inside an adapter
    config = generation_config(base, schema)
    settings, unknown = search_settings(config, is_encoder_decoder=schema.kind != "decoder")
    is_tested = schema.kind == "decoder" or base.config.model_type in ENCODER_DECODERS
    if unknown or not is_tested:
        return _by_transformers(base, batch, schema, tokenizer, config, on_text)
    if schema.kind == "decoder":
        contexts = _prompts(batch)
        steps: Steps = DecoderSteps(base, contexts, schema.pad_token_id)
    else:
        assert schema.decoder_start_token_id is not None
        contexts = [[schema.decoder_start_token_id]] * len(batch.feature_ids)
        steps = EncoderDecoderSteps(base, _sources(batch), schema.decoder_start_token_id)
    if settings.num_beams > 1:
        return texts_of_tokens(search_beams(steps, contexts, settings), tokenizer, schema)
    on_tokens = None
    if on_text is not None:
        growing = GrowingText(on_text)
        on_tokens = lambda tokens: growing.show(texts_of_tokens([tokens], tokenizer, schema)[0])  # noqa: E731
    texts = OpenTexts(contexts, settings.max_new_tokens, end_test(contexts, schema.eos_token_id, (), tokenizer))
    tokens = write_texts(steps, texts, settings, on_tokens=on_tokens)
    return texts_of_tokens(tokens, tokenizer, schema)


def _by_transformers(
    model: Any, batch: Batch, schema: Schema, tokenizer: Any, config: Any, on_text: OnText | None
) -> list[str]:
    """Generate with transformers' `generate`, which has more models and settings than our loop."""
    options: dict[str, Any] = {}
    if on_text is not None:
        streamer = PieceStreamer(tokenizer, on_text, schema.language_token_id)
        options = {"streamer": streamer, "stopping_criteria": [streamer.criterion]}
    inputs = _sources(batch)
    if schema.kind == "decoder":
        ids, mask = padded(_prompts(batch), schema.pad_token_id, model.device)
        inputs = {"input_ids": ids, "attention_mask": mask}
    tokens = model.generate(**inputs, generation_config=config, **options)
    if schema.kind == "decoder":
        tokens = tokens[:, inputs["input_ids"].shape[1] :]
    return texts_of_tokens(tokens.tolist(), tokenizer, schema)


def _sources(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}


def texts_of_tokens(tokens: Sequence[Sequence[int]], tokenizer: Any, schema: Schema) -> list[str]:
    """Return the texts of generated tokens, without special tokens and surrounding white space."""
    # M2M-100's tokenizer may not know that the language token is special
    kept = [[token for token in ids if token != schema.language_token_id] for ids in tokens]
    return [text.strip() for text in tokenizer.batch_decode(kept, skip_special_tokens=True)]


def prompts(features: Features, schema: Schema) -> Sequence[Sequence[int]]:
    """Return the tokens of the sources; for a decoder, of the prompts without targets."""
    inputs = features.inputs["input_ids"]
    if schema.kind != "decoder":
        return inputs
    lengths = [None if target is None else target.count(IGNORED) for target in features.targets]
    return [ids[:length] for ids, length in zip(inputs, lengths, strict=True)]


EXPORTED_TEXTS = ExportedTexts(
    prompts, lambda prompts, tokens, tokenizer, schema: texts_of_tokens(tokens, tokenizer, schema)
)


def _prompts(batch: Batch) -> list[list[int]]:
    """Return the prompts of a decoder, without targets and padding."""
    ids = batch.inputs["input_ids"]
    lengths = batch.inputs["attention_mask"].sum(1)
    if batch.targets.numel():
        lengths = (batch.targets != IGNORED).int().argmax(1)  # the start of the target
    return [row[:length] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]
