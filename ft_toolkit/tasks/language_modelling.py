"""Language modelling: predict each token from those before it (decoders), or masked words from both sides (encoders).

The tokens that are predicted, and therefore counted:

- documents apart: the tokens of a row and the end-of-text token after them. Every row starts with an end-of-text token (bos,
  else eos), so that its first token is predicted too. Attention never crosses from one row to another.
- documents joined: the tokens of all rows, with a line break after each row that has none. The whole split is one stream that
  starts with one end-of-text token, as in published WikiText results. Rows have no end-of-text tokens of their own.
- encoders: the masked tokens. The perplexity is a pseudo-perplexity, because the model sees both sides of a token.

A row (or the stream) that is longer than data.max_length is cut into pieces. Each piece starts with the last token of the
previous one, so every token is predicted exactly once, but the first tokens of a piece have no context from before the cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.core.words import count_scripts
from ft_toolkit.metrics import language
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Baseline,
    Batch,
    Column,
    Comparability,
    DefinedLabels,
    Features,
    PipelineCode,
    PipelineRequest,
    Pretrained,
    Row,
    Rows,
    ScoredRun,
    Task,
    TaskSettings,
)
from ft_toolkit.tasks.display.pipeline_code import pipeline_code
from ft_toolkit.tasks.display.prediction_form import PredictionForm, TextScores
from ft_toolkit.tasks.display.texts import hardest_documents
from ft_toolkit.tasks.guessing.texts import guess_texts
from ft_toolkit.tasks.text import token_scores
from ft_toolkit.tasks.text.blank_rows import blank_notes
from ft_toolkit.tasks.text.blocks import apart, joined
from ft_toolkit.tasks.text.masking import choose_masked, mask_tokens, measured_share, number_words
from ft_toolkit.tasks.text.token_targets import IGNORED, count_targets, pad_targets

if TYPE_CHECKING:
    import torch


class Settings(TaskSettings):
    """The `task:` section of a recipe. A block of text has data.max_length tokens."""

    name: Literal["language_modelling"] = "language_modelling"
    # Decoders: rows are separate texts (apart), or one continuous text as in published WikiText results (joined).
    documents: Literal["apart", "joined"] = "apart"
    # Encoders: the share of the tokens of a row that is masked.
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    # Encoders: mask all tokens of a word together. In scripts without spaces, each letter is a word; a token with several
    # letters is masked alone.
    whole_words: bool = True


@dataclass(frozen=True)
class CausalSchema:
    """How texts become blocks for a decoder.

    `start_id` is the token before a row (or the stream), `end_id` the token after a row. With `packed`, several rows share a
    block.
    """

    documents: Literal["apart", "joined"]
    packed: bool
    start_id: int
    end_id: int
    objective: Literal["causal"] = "causal"


@dataclass(frozen=True)
class MaskedSchema:
    """How tokens are masked for an encoder. `vocabulary` is the number of tokens; special tokens are never masked."""

    mask_share: float
    whole_words: bool
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]
    objective: Literal["masked"] = "masked"


Schema = CausalSchema | MaskedSchema


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form. Keys of the other objective, as older versions wrote them, are ignored."""
    if values["objective"] == "masked":
        special_ids = tuple(values["special_ids"])
        return MaskedSchema(
            values["mask_share"], values["whole_words"], values["mask_id"], values["vocabulary"], special_ids
        )
    return CausalSchema(values["documents"], values["packed"], values["start_id"], values["end_id"])


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check the texts, and drop blank rows. When predicting, every row is kept."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row["text"], str) and (settings is None or row["text"] is not None):
            raise DataError(f"{where}: row {number}: column 'text' must be text; found {row['text']!r}")
    if settings is None:
        return rows, []
    kept = [row for row in rows if row["text"] is not None and row["text"].strip()]
    if not kept:
        raise DataError(f"{where}: all rows are blank; rows with text are required")
    return kept, blank_notes(len(rows) - len(kept), len(rows))


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Choose the objective by the kind of checkpoint, and find the tokens it needs.

    Raises UsageError for a setting of the other objective, ModelError for a tokenizer without a required token.
    """
    tokenizer, is_masked = pretrained.tokenizer, pretrained.kind == "encoder"
    other = {"documents": "decoders"} if is_masked else {"mask_share": "encoders", "whole_words": "encoders"}
    for name, kind in other.items():
        if getattr(settings, name) != Settings.model_fields[name].default:
            raise UsageError(
                f"task.{name} applies to {kind} only; {pretrained.config.model_type} is of kind {pretrained.kind}. Remove it"
            )
    if is_masked:
        return _find_masked_schema(settings, tokenizer)
    start_id = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if start_id is None or tokenizer.eos_token_id is None:
        raise ModelError("causal language modelling requires a tokenizer with an end-of-text token (eos_token)")
    packed = settings.documents == "apart" and pretrained.config.model_type in token_scores.PACKS
    return CausalSchema(settings.documents, packed, start_id, tokenizer.eos_token_id)


def _find_masked_schema(settings: Settings, tokenizer: Any) -> MaskedSchema:
    if tokenizer.mask_token_id is None or not tokenizer.is_fast:
        raise ModelError("masked language modelling requires a fast tokenizer (tokenizer.json) with a mask token")
    special_ids = tuple(sorted(tokenizer.all_special_ids))
    return MaskedSchema(settings.mask_share, settings.whole_words, tokenizer.mask_token_id, len(tokenizer), special_ids)


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return blocks of at most max_length tokens; `corrupt` adds their targets.

    For a causal model, `notes[i]` lists (row, start, end): the positions of block i that are predicted for a row. For a masked
    model, it has the word number of each token, -1 for special tokens.
    """
    texts = [_text(row, schema) for row in rows]
    if isinstance(schema, MaskedSchema):
        return _masked_features(texts, tokenizer, schema, max_length)
    tokens = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    if schema.documents == "joined":
        inputs, notes = joined(tokens, schema.start_id, max_length)
    else:
        inputs, notes = apart(tokens, schema.start_id, schema.end_id, max_length, packed=schema.packed)
    return Features(inputs, [None] * len(notes), [note[0][0] for note in notes], [0] * len(rows), notes=notes)


def _text(row: Row, schema: Schema) -> str:
    """Return the text of a row, with a line break at the end where rows are joined."""
    text = str(row["text"])
    is_joined = isinstance(schema, CausalSchema) and schema.documents == "joined"
    return text + "\n" if is_joined and not text.endswith("\n") else text


def _masked_features(texts: list[str], tokenizer: Any, schema: MaskedSchema, max_length: int) -> Features:
    encoded = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        return_overflowing_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
    )
    rows = [int(row) for row in encoded["overflow_to_sample_mapping"]]
    special, notes = set(schema.special_ids), []
    for row, windows in groupby(range(len(rows)), key=rows.__getitem__):
        blocks = list(windows)
        ids = [encoded["input_ids"][block] for block in blocks]
        words: list[Sequence[int]] = [range(len(tokens)) for tokens in ids]
        if schema.whole_words:
            words = list(number_words(texts[row], [encoded["offset_mapping"][block] for block in blocks]))
        for tokens, numbers in zip(ids, words, strict=True):  # special tokens in the text are not masked either
            notes.append([-1 if token in special else word for token, word in zip(tokens, numbers, strict=True)])
    return Features({"input_ids": list(encoded["input_ids"])}, [None] * len(rows), rows, [0] * len(texts), notes=notes)


def describe_features(rows: Rows, features: Features, schema: Schema) -> str:
    """Return the share of the tokens that is masked, and the units; empty for a decoder."""
    if isinstance(schema, CausalSchema):
        return ""
    share = measured_share(features.notes, schema.mask_share)
    text = f"{share:.1%} of the tokens are masked"
    if not schema.whole_words:
        return text
    scripts = count_scripts(_text(row, schema) for row in rows)
    if not scripts.without_spaces:
        return f"{text}, in whole words"
    part = scripts.without_spaces / scripts.total
    return f"{text}, in whole words, or in letters or tokens where the script has no spaces ({part:.0%} of the words)"


def notes(rows: Rows, features: Features | None, tokenizer: Any, schema: Schema) -> list[str]:
    """Return a note if the masked share differs from the setting by more than two points, as it does for short texts."""
    if features is None or isinstance(schema, CausalSchema):
        return []
    share = measured_share(features.notes, schema.mask_share)
    if abs(share - schema.mask_share) <= 0.02:
        return []
    return [
        f"{share:.1%} of the tokens are masked instead of task.mask_share={schema.mask_share}, because at least one token of "
        "each text is masked and many texts are short"
    ]


def corrupt(
    inputs: dict[str, list[int]], note: Any, schema: Schema, rng: np.random.Generator
) -> tuple[dict[str, list[int]], list[int]]:
    """Return the inputs, masked for an encoder, and the targets: token ids at predicted positions, IGNORED elsewhere."""
    ids = inputs["input_ids"]
    target = [IGNORED] * len(ids)
    if isinstance(schema, CausalSchema):
        for _, start, end in note:
            target[start:end] = ids[start:end]
        return inputs, target
    chosen = choose_masked(note, schema.mask_share, rng)
    for position in chosen:
        target[position] = ids[position]
    masked = mask_tokens(ids, chosen, schema, rng)
    return {**inputs, "input_ids": masked}, target


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return no changes of the checkpoint's config."""
    return {}


def _is_causal(schema: Schema) -> bool:
    return isinstance(schema, CausalSchema)


def logit_positions(batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the positions at which a token is predicted."""
    return token_scores.logit_positions(batch, is_causal=_is_causal(schema))


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the cross entropy summed over the targets; see `token_scores.loss_sum`."""
    return token_scores.loss_sum(outputs, batch, is_causal=_is_causal(schema))


def predict(outputs: Any, batch: Batch, schema: Schema) -> list[np.ndarray]:
    """Return nll and correctness per token; see `token_scores.predict`."""
    return token_scores.predict(outputs, batch, is_causal=_is_causal(schema))


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row: nll in nats, predicted tokens, their bytes, correct tokens, perplexity, bits per byte.

    For a masked model, the bytes are those of the row times the share of its tokens that was masked.
    """
    sums = np.zeros((len(rows), 4))
    n_maskable = np.zeros(len(rows))
    is_masked = isinstance(schema, MaskedSchema)
    for value, note, number in zip(values, features.notes, features.example_ids, strict=True):
        spans = [(number, 0, value.shape[1])] if is_masked else note
        for owner, start, end in spans:
            nll, correct = value[:, start:end].astype(np.float64)
            sums[owner] += (nll.sum(), (correct >= 0).sum(), 0, (correct > 0).sum())
        if is_masked:
            n_maskable[number] += sum(word >= 0 for word in note)
    for index, row in enumerate(rows):
        share = sums[index, language.TOKENS] / max(n_maskable[index], 1) if is_masked else 1.0
        sums[index, language.BYTES] = round(float(share) * len(_text(row, schema).encode()))
    return [token_scores.prediction(row_sums) for row_sums in sums]


def reference_answer(row: Row, schema: Schema) -> Any:
    """Return None: the text itself is the reference."""
    return None


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 4) of nll, tokens, bytes and correct tokens: of the model, and of a perfect model."""
    return token_scores.to_arrays(decoded)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return perplexity, loss per token, bits per byte and accuracy, over all predicted tokens of a split."""
    return dict(token_scores.METRICS)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the amount of text that was scored, and a description of the scores."""
    meanings = {
        "masked": "pseudo-perplexity: masked tokens are predicted from both sides; not comparable with causal models",
        "apart": "each row is a text of its own, including the end-of-text token after it",
        "joined": "all rows are one text, cut into blocks",
    }
    _, tokens, n_bytes, _ = predictions.sum(axis=0).tolist()
    meaning = meanings["masked" if isinstance(schema, MaskedSchema) else schema.documents]
    return {"language": {"tokens": int(tokens), "bytes": int(n_bytes), "meaning": meaning}}


def bytes_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict each byte from the four bytes before it, by counting. Without tokens, only bits per byte are defined.

    Returns an empty list for masked models, whose scores cannot be compared.
    """
    from ft_toolkit.tasks.text.byte_model import negative_log_likelihoods

    if isinstance(schema, MaskedSchema):
        return []
    texts = [_text(row, schema) for row in rows]
    nlls = negative_log_likelihoods([_text(row, schema) for row in train], texts)
    return [
        token_scores.prediction(np.array([nll, 0, len(text.encode()), 0]))
        for nll, text in zip(nlls, texts, strict=True)
    ]


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Refuse causal against masked models; skip scores per token when the texts were tokenized differently."""
    if first.schema.objective != other.schema.objective:
        objectives = f"{first.schema.objective}, {other.schema.objective}"
        return Comparability(f"they differ in the objective ({objectives} language modelling)")
    return token_scores.comparability(first, other)


def pipeline_tag_of(schema: Schema) -> str:
    """Return the Hub's name of the task for the objective."""
    return "fill-mask" if schema.objective == "masked" else "text-generation"


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the fill-mask or text-generation pipeline."""
    variable, call, auto_class = ("write", 'write("A text that begins", max_new_tokens=40)', "AutoModelForCausalLM")
    if schema.objective == "masked":
        variable, call = ("fill", 'fill(f"A text with a {fill.tokenizer.mask_token}.")')
        auto_class = "AutoModelForMaskedLM"
    tag = pipeline_tag_of(schema)
    return PipelineCode(pipeline_code(request, tag=tag, auto_class=auto_class, variable=variable, call=call))


_SAMPLES = (
    "The ferry leaves the north pier at seven and comes back before noon.",
    "Nobody had opened the letter, although it had lain on the table for a week.",
    "Rain fell on the tin roof.",
    "To repot a fern, loosen the old soil, trim the brown roots, and set the plant a little deeper than it stood before.",
    "She asked for the blue paint and was given green.",
    "The museum keeps two clocks from the old station: one has stopped, the other is always five minutes ahead.",
    "Snow.",
    "A good knife needs a steady hand, a wet stone and some patience.",
    "The bridge was closed in March, opened in June, and closed again when the river rose.",
    "He counted the steps to the tower: two hundred and eleven on the way up, two hundred and twelve on the way down.",
    "Bread rises faster in a warm kitchen.",
    "At the end of the street there is a bakery, and behind the bakery a garden that nobody seems to own.",
)


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve texts of different lengths."""
    return [{"id": str(number), "text": text} for number, text in enumerate(_SAMPLES, 1)]


TASK = Task(
    name="language_modelling",
    settings=Settings,
    columns={"text": Column("the text, a document per row", example="A text.")},
    read_rows=read_rows,
    streams_rows=True,
    answer_form=lambda row, settings: None,
    augmentation=lambda settings: "learns to write the text itself, so it would learn the changes",
    guess=guess_texts,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    joins_rows=lambda schema: isinstance(schema, CausalSchema),  # its notes have row numbers
    auto_class={"encoder": "AutoModelForMaskedLM", "decoder": "AutoModelForCausalLM"},
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=predict,
    scored_tokens=lambda schema: "next" if _is_causal(schema) else "masked",
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["perplexity"],
    prediction_form=lambda schema: PredictionForm(TextScores),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"bytes": Baseline(bytes_baseline, "counts of the byte that follows four bytes")},
    comparability=comparability,
    wrong_examples=lambda records, schema: hardest_documents(records),
    pipeline_tag="text-generation",
    pipeline_tag_of=pipeline_tag_of,
    pipeline=pipeline,
    prediction_text=lambda schema: "A prediction has the perplexity of a text, and its nll, tokens and bytes.",
    reads_windows=lambda schema: True,
    sample_rows=sample_rows,
    text_column="text",
    corrupt=corrupt,
    describe_features=describe_features,
    notes=notes,
    logit_positions=logit_positions,
)
