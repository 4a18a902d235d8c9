"""Text to text with any kind of checkpoint: what summarization and translation share.

Encoder-decoders (T5, BART, Marian) read the source and write the target. Decoders (GPT-2, Llama) read a prompt that holds
the source and write on; the loss is on the target alone. An encoder (BERT) becomes an encoder-decoder: two copies of it,
with new cross-attention in the second (Rothe et al. 2020, arXiv:1907.12461).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.tasks.base import Batch, Features, Kind, Pretrained, Row, Rows, TaskSettings
from ft_toolkit.tasks.text.token_targets import IGNORED, at_positions

if TYPE_CHECKING:
    import torch

AUTO_CLASS: dict[Kind, str] = {
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "decoder": "AutoModelForCausalLM",
    "encoder": "EncoderDecoderModel",
}
# What a checkpoint's own generation settings say of its tokens; everything else the recipe decides.
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
    """How targets are cut and texts generated; names are those of transformers' GenerationConfig."""

    # Tokens of a target, the end token included; longer ones are cut (and then have no end token), and generation stops.
    max_target_length: Annotated[int, Field(ge=2)] = 128
    # 1 takes the likeliest token at each step; more keep that many candidates (beam search).
    num_beams: Annotated[int, Field(ge=1)] = 1
    # Beam search divides a candidate's log-probability by its length to this power: above 0, more favours longer texts.
    length_penalty: float = 1.0
    # No run of this many tokens comes twice in a text; 0 allows it.
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    # The end token is not allowed before this many tokens.
    min_new_tokens: Annotated[int, Field(ge=0)] = 0
    # Encoder-decoders and encoders: stands before every source. null takes what the checkpoint was trained with (T5).
    prefix: str | None = None
    # Decoders: the text that the target follows directly, so end it with a newline or a space. null takes the task's.
    prompt: str | None = None


@dataclass(frozen=True)
class Schema:
    """What the model must know: the text around a source, limits in tokens, generation settings and special tokens."""

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
    # Positions that the model has; None where it counts distances instead (T5).
    max_positions: int | None
    source_language: str | None = None
    target_language: str | None = None
    # The first token of every text, where the checkpoint marks the language so (NLLB, mBART-50).
    language_token_id: int | None = None


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**values)


def find_schema(
    settings: GenerationSettings,
    pretrained: Pretrained,
    *,
    prefix: str,
    prompt: str,
    place: str,
    languages: tuple[str | None, str | None] = (None, None),
) -> Schema:
    """Find the special tokens of the checkpoint and the text around a source.

    `prefix` and `prompt` are the task's own, for recipes that name none; `place` is what stands for the source in a prompt.
    Raises UsageError for a prompt without it or a setting that does nothing with this kind, ModelError where the checkpoint
    lacks a token.
    """
    kind, config, tokenizer = pretrained.kind, pretrained.config, pretrained.tokenizer
    other = settings.prefix if kind == "decoder" else settings.prompt
    if other is not None:
        name, used = ("prefix", "prompt") if kind == "decoder" else ("prompt", "prefix")
        raise UsageError(f"task.{name} does nothing with a checkpoint of kind {kind}; use task.{used}, or remove it")
    if settings.min_new_tokens >= settings.max_target_length:
        raise UsageError(
            f"task.min_new_tokens={settings.min_new_tokens} leaves no room below "
            f"task.max_target_length={settings.max_target_length}"
        )
    before, after = (prefix if settings.prefix is None else settings.prefix), ""
    if kind == "decoder":
        template = prompt if settings.prompt is None else settings.prompt
        before, found, after = template.partition(place)
        if not found:
            raise UsageError(f"task.prompt has no {place}, which stands for the text: {template!r}")
    return Schema(
        kind,
        before,
        after,
        settings.max_target_length,
        settings.num_beams,
        settings.length_penalty,
        settings.no_repeat_ngram_size,
        settings.min_new_tokens,
        *_special_tokens(kind, config, tokenizer),
        _max_positions(config, tokenizer),
        *languages,
        _language_token(tokenizer, languages),
    )


def _special_tokens(kind: Kind, config: Any, tokenizer: Any) -> tuple[int, int, int | None]:
    """Return the end token, the pad token and, but for decoders, the decoder's first token."""
    eos = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    start = {"encoder": tokenizer.cls_token_id, "decoder": None}.get(
        kind, _config_value(config, "decoder_start_token_id")
    )
    if eos is None or tokenizer.pad_token_id is None or (start is None and kind != "decoder"):
        raise ModelError(
            f"a {config.model_type} checkpoint without "
            + ("an end token" if eos is None else "a first token of the decoder (decoder_start_token_id, or [CLS])")
            + " cannot generate texts"
        )
    return eos, tokenizer.pad_token_id, start


def _config_value(config: Any, name: str) -> Any:
    """Return a value of the config, or of its decoder's where it has one of its own."""
    value = getattr(config, name, None)
    return getattr(getattr(config, "decoder", None), name, None) if value is None else value


def _max_positions(config: Any, tokenizer: Any) -> int | None:
    found = _config_value(config, "max_position_embeddings")
    return None if found is None else min(found, tokenizer.model_max_length)


def _language_token(tokenizer: Any, languages: tuple[str | None, str | None]) -> int | None:
    """Return the token of the target language for checkpoints that mark it (NLLB, mBART-50), else None."""
    if not hasattr(tokenizer, "tgt_lang"):
        return None
    if None in languages:
        raise UsageError(
            "this checkpoint marks texts with their language; say which with task.source_language and "
            "task.target_language, as its tokenizer names them"
        )
    for side, language in zip(("source", "target"), languages, strict=True):
        if tokenizer.convert_tokens_to_ids(language) in (None, tokenizer.unk_token_id):
            raise UsageError(f"task.{side}_language={language} is not a language token of this checkpoint's tokenizer")
    return int(tokenizer.convert_tokens_to_ids(languages[1]))


def read_answers(row: Row, answer: str, where: str, number: int) -> list[str]:
    """Return the references of a row: its `references`, else its answer, a text or a list of texts. Raises DataError."""
    for name in ("references", answer):
        value = row.get(name)
        if value is None:
            continue
        texts = list(value) if isinstance(value, (list, tuple)) else [value]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(
                f"{where}: row {number}: column '{name}' holds {value!r}; a text is needed, or a list of texts"
            )
        if (
            name == "references"
            and isinstance(row.get(answer), str)
            and row[answer].strip()
            and row[answer] not in texts
        ):
            texts = [row[answer], *texts]
        return texts
    raise DataError(f"{where}: row {number}: column '{answer}' is empty")


def references_of(row: Row, answer: str) -> list[str]:
    """Return the references of a row that `read_rows` has seen."""
    return list(row.get("references") or [row[answer]])


def encode(
    sources: Sequence[str], answers: Sequence[str] | None, tokenizer: Any, schema: Schema, max_length: int, unit: str
) -> Features:
    """Tokenize sources and, where there are any, the texts to learn from; one feature per row.

    max_length limits the source with the text around it, of which only the source is cut. Encoder-decoders get
    `decoder_input_ids`, the targets shifted right behind the decoder's first token; decoders get prompt and target in one.
    `unit` names in answers_cut the tokens beyond max_target_length. Raises UsageError where the model has too few positions.
    """
    _check_room(schema, max_length)
    if schema.language_token_id is not None:
        tokenizer.src_lang, tokenizer.tgt_lang = schema.source_language, schema.target_language
    is_decoder = schema.kind == "decoder"
    read, cut = (_prompts if is_decoder else _sources)(sources, tokenizer, schema, max_length)
    ids = list(range(len(sources)))
    if answers is None:
        return Features({"input_ids": read}, [None] * len(sources), ids, cut)
    whole = _target_ids(answers, tokenizer, schema)
    targets = [tokens[: schema.max_target_length] for tokens in whole]
    answers_cut = {unit: [len(tokens) - len(kept) for tokens, kept in zip(whole, targets, strict=True)]}
    if is_decoder:
        inputs = {"input_ids": [[*prompt, *target] for prompt, target in zip(read, targets, strict=True)]}
        targets = [[IGNORED] * len(prompt) + target for prompt, target in zip(read, targets, strict=True)]
    else:
        assert schema.decoder_start_token_id is not None
        shifted = [[schema.decoder_start_token_id, *target[:-1]] for target in targets]
        inputs = {"input_ids": read, "decoder_input_ids": shifted}
    return Features(inputs, targets, ids, cut, answers_cut)


def _check_room(schema: Schema, max_length: int) -> None:
    together = schema.max_target_length + (max_length if schema.kind == "decoder" else 0)
    needed = max(together, max_length)
    if schema.max_positions is not None and needed > schema.max_positions:
        raise UsageError(
            f"data.max_length={max_length} and task.max_target_length={schema.max_target_length} need {needed} positions; "
            f"the model has {schema.max_positions}"
        )


def _tokens(texts: Sequence[str], tokenizer: Any, **options: Any) -> list[list[int]]:
    if not texts:
        return []
    return [
        list(ids) for ids in tokenizer(list(texts), return_attention_mask=False, verbose=False, **options)["input_ids"]
    ]


def _sources(sources: Sequence[str], tokenizer: Any, schema: Schema, limit: int) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of prefix and source, at most `limit`, and how many were cut."""
    texts = [schema.before + source for source in sources]
    found = _tokens(texts, tokenizer)
    cut = [0] * len(texts)
    long = [i for i, ids in enumerate(found) if len(ids) > limit]
    short = _tokens([texts[i] for i in long], tokenizer, truncation=True, max_length=limit)
    for i, ids in zip(long, short, strict=True):
        cut[i], found[i] = len(found[i]) - len(ids), ids
    return [ids or [schema.pad_token_id] for ids in found], cut


def _prompts(sources: Sequence[str], tokenizer: Any, schema: Schema, limit: int) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of whole prompts, at most `limit`: what is too much is taken from the end of the source."""
    if not tokenizer.is_fast:
        raise ModelError("a decoder needs a fast tokenizer here, which says where in the text a token stands")
    prompts: list[list[int]] = []
    cut: list[int] = []
    if not sources:
        return prompts, cut
    texts = [schema.before + source + schema.after for source in sources]
    encoded = tokenizer(texts, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
    for source, ids, offsets in zip(sources, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        begin, end = len(schema.before), len(schema.before) + len(source)
        tokens = list(ids[:-1] if ids and ids[-1] == schema.eos_token_id else ids)  # the text goes on
        too_many = max(len(tokens) - limit, 0)
        if too_many:
            inside = [i for i, (first, last) in enumerate(offsets[: len(tokens)]) if begin <= first < last <= end]
            if too_many > len(inside):
                raise UsageError(
                    f"data.max_length={limit}: the prompt without the text has {len(tokens) - len(inside)} tokens already"
                )
            dropped = set(inside[len(inside) - too_many :])
            tokens = [token for i, token in enumerate(tokens) if i not in dropped]
        prompts.append(tokens or [schema.eos_token_id])
        cut.append(too_many)
    return prompts, cut


def _target_ids(answers: Sequence[str], tokenizer: Any, schema: Schema) -> list[list[int]]:
    """Return the tokens to be learned, the end token last; the decoder's first token is not among them."""
    if schema.kind == "decoder":
        found = _tokens([answer.strip() for answer in answers], tokenizer, add_special_tokens=False)
    else:
        encoded = tokenizer(text_target=list(answers), return_attention_mask=False, verbose=False) if answers else {}
        found = [list(ids) for ids in encoded.get("input_ids", [])]
        found = [ids[1:] if ids[:1] == [schema.decoder_start_token_id] else ids for ids in found]
    return [ids if ids[-1:] == [schema.eos_token_id] else [*ids, schema.eos_token_id] for ids in found]


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the cross entropy summed over the target tokens, in float32."""
    from torch.nn import functional

    if schema.kind == "decoder":
        wanted = _predicting(batch)
        logits, targets = at_positions(outputs.logits, wanted), batch.targets[:, 1:][wanted[:, :-1]]
    else:
        wanted = batch.targets != IGNORED
        logits, targets = outputs.logits[wanted], batch.targets[wanted]
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def logit_positions(batch: Batch, schema: Schema) -> torch.Tensor | None:
    """Return where a decoder predicts; None for an encoder-decoder, whose decoder reads little else."""
    return _predicting(batch) if schema.kind == "decoder" and batch.targets.numel() else None


def _predicting(batch: Batch) -> torch.Tensor:
    from torch.nn import functional

    # what stands at a position is predicted at the one before
    return functional.pad(batch.targets[:, 1:], (0, 1), value=IGNORED) != IGNORED


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return nothing: the checkpoint's config is as it should be."""
    return {}


def configure(model: Any, schema: Schema) -> None:
    """Give the model the recipe's generation settings, so that its saved folder generates alike without this toolkit."""
    model.generation_config = generation_config(model, schema)


def generation_config(model: Any, schema: Schema) -> Any:
    """Return the recipe's generation settings with the checkpoint's special tokens: greedy or beam search, no sampling."""
    from transformers import GenerationConfig

    kept = {name: getattr(model.generation_config, name, None) for name in _KEPT}
    beams: dict[str, Any] = {}
    if schema.num_beams > 1:  # else transformers refuses to save what does nothing
        beams = {"length_penalty": schema.length_penalty, "early_stopping": False}
    if schema.language_token_id is not None:
        kept["forced_bos_token_id"] = schema.language_token_id
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
    """Return the generated text of each feature, without special tokens and white space around it."""
    names = ("input_ids", "attention_mask")
    inputs = _left_padded(batch, schema) if schema.kind == "decoder" else {name: batch.inputs[name] for name in names}
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # inside an adapter
    tokens = bare.generate(**inputs, generation_config=generation_config(bare, schema))
    if schema.kind == "decoder":
        tokens = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def _left_padded(batch: Batch, schema: Schema) -> dict[str, torch.Tensor]:
    """Return the prompts alone, padded on the left so that all end where the texts begin."""
    import torch

    ids = batch.inputs["input_ids"]
    lengths = batch.inputs["attention_mask"].sum(1)
    if batch.targets.numel():
        lengths = (batch.targets != IGNORED).int().argmax(1)  # where the target begins
    width = int(lengths.max())
    places = torch.arange(width, device=ids.device) - (width - lengths)[:, None]
    prompts = ids.gather(1, places.clamp(min=0)).masked_fill(places < 0, schema.pad_token_id)
    return {"input_ids": prompts, "attention_mask": (places >= 0).long()}


def check_texts(rows: Rows, column: str, where: str) -> None:
    """Raise DataError for a row whose source is not a text."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row[column], str):
            raise DataError(f"{where}: row {number}: column '{column}' holds {row[column]!r}; text is needed")
