"""Language modelling: predict each token from those before it (decoders), or masked words from both sides (encoders).

What is predicted, and so counted as a token:

- documents apart: the tokens of a row and the end-of-text token that closes it. An end-of-text token (bos, else eos) opens
  every row, so that its first token is predicted too. Attention never crosses from one row to another.
- documents joined: the tokens of all rows, a line break after each row that does not end in one; the whole split is one
  stream behind one end-of-text token, as published WikiText numbers are computed. No row is opened or closed.
- encoders: the masked tokens. The perplexity is a pseudo-perplexity, for it sees both sides of what it predicts.

A row (or the stream) that is longer than data.max_length is cut into pieces; a piece begins with the last token of the one
before, so each token is predicted exactly once, but the first tokens of a piece have lost the context before the cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.metrics import language
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Baseline,
    Batch,
    Column,
    Comparability,
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
from ft_toolkit.tasks.display.texts import hardest_documents
from ft_toolkit.tasks.text.blocks import apart, choose_masked, joined, mask_tokens
from ft_toolkit.tasks.text.token_targets import IGNORED, at_places, count_targets, pad_targets, places_of

if TYPE_CHECKING:
    import torch

# Positions whose probabilities over the vocabulary are held in float32 at a time.
CHUNK = 1024
# Decoders that transformers keeps from looking across the restarts of position ids (a test packs for each); the rows of
# any other decoder are not packed but padded.
PACKS = (
    "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "olmo2", "phi", "qwen2", "qwen3", "smollm3",
)  # fmt: skip


class Settings(TaskSettings):
    """What stands under `task:`. A block of text is data.max_length tokens long."""

    name: Literal["language_modelling"] = "language_modelling"
    # Decoders: whether a token sees only its own row, or all rows are one text, as published WikiText numbers have it.
    documents: Literal["apart", "joined"] = "apart"
    # Encoders: the share of a row's tokens that is masked.
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    # Encoders: whether all pieces of a word are masked together.
    whole_words: bool = True


@dataclass(frozen=True)
class Schema:
    """What the model must know of the data: token ids and how texts become blocks."""

    objective: Literal["causal", "masked"]
    documents: Literal["apart", "joined"]
    packed: bool
    start_id: int
    end_id: int
    mask_share: float
    whole_words: bool
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**{**values, "special_ids": tuple(values["special_ids"])})


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check that texts are texts; leave out blank rows, except when predicting, where every row gets an answer."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row["text"], str) and (settings is None or row["text"] is not None):
            raise DataError(f"{where}: row {number}: column 'text' holds {row['text']!r}; text is needed")
    if settings is None:
        return rows, []
    kept = [row for row in rows if row["text"] is not None and row["text"].strip()]
    if not kept:
        raise DataError(f"{where}: every row is blank; there is no text to learn from")
    left_out = len(rows) - len(kept)
    return kept, [f"{left_out} of {len(rows)} rows are blank and were left out"] if left_out else []


def find_schema(settings: Settings, rows: Rows, card_labels: Sequence[str] | None, pretrained: Pretrained) -> Schema:
    """Choose the objective by the kind of checkpoint and find the tokens it needs.

    Raises UsageError for a setting of the other objective, ModelError when the tokenizer lacks a token.
    """
    tokenizer, masked = pretrained.tokenizer, pretrained.kind == "encoder"
    other = {"documents": "decoders"} if masked else {"mask_share": "encoders", "whole_words": "encoders"}
    for name, kind in other.items():
        if getattr(settings, name) != Settings.model_fields[name].default:
            raise UsageError(
                f"task.{name} is for {kind}; {pretrained.config.model_type} is of kind {pretrained.kind}. Remove it."
            )
    if masked and (tokenizer.mask_token_id is None or not tokenizer.is_fast):
        raise ModelError("masked language modelling needs a fast tokenizer (tokenizer.json) with a mask token")
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if not masked and (start is None or tokenizer.eos_token_id is None):
        raise ModelError("causal language modelling needs a tokenizer with an end-of-text token (eos)")
    return Schema(
        objective="masked" if masked else "causal",
        documents=settings.documents,
        packed=not masked and settings.documents == "apart" and pretrained.config.model_type in PACKS,
        start_id=-1 if masked else start,
        end_id=-1 if masked else tokenizer.eos_token_id,
        mask_share=settings.mask_share,
        whole_words=settings.whole_words,
        mask_id=tokenizer.mask_token_id if masked else -1,
        vocabulary=len(tokenizer),
        special_ids=tuple(sorted(tokenizer.all_special_ids)),
    )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return blocks of at most max_length tokens; their targets are made by `corrupt`.

    `notes` hold, for a causal model, (row, start, end) of the positions that are predicted for a row; for a masked one, the
    number of each token's word.
    """
    texts = [_text(row, schema) for row in rows]
    if schema.objective == "masked":
        return _windows(texts, tokenizer, schema, max_length)
    tokens = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    if schema.documents == "joined":
        inputs, notes = joined(tokens, schema.start_id, max_length)
    else:
        inputs, notes = apart(tokens, schema.start_id, schema.end_id, max_length, packed=schema.packed)
    return Features(inputs, [None] * len(notes), [note[0][0] for note in notes], [0] * len(rows), notes=notes)


def _text(row: Row, schema: Schema) -> str:
    text = str(row["text"])
    return text + "\n" if schema.documents == "joined" and not text.endswith("\n") else text


def _windows(texts: list[str], tokenizer: Any, schema: Schema, max_length: int) -> Features:
    found = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        return_overflowing_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    special, notes = set(schema.special_ids), []
    for number, ids in enumerate(found["input_ids"]):
        # a special token has no word; one that stands in the text itself has, and is not masked either
        words = found.word_ids(number) if schema.whole_words else range(len(ids))
        notes.append([-1 if w is None or i in special else int(w) for i, w in zip(ids, words, strict=True)])
    rows = [int(row) for row in found["overflow_to_sample_mapping"]]
    return Features({"input_ids": list(found["input_ids"])}, [None] * len(rows), rows, [0] * len(texts), notes=notes)


def corrupt(
    inputs: dict[str, list[int]], note: Any, schema: Schema, rng: np.random.Generator
) -> tuple[dict[str, list[int]], list[int]]:
    """Return the inputs, masked for an encoder, and the targets: token ids where something is predicted, else -100."""
    ids = inputs["input_ids"]
    target = [IGNORED] * len(ids)
    if schema.objective == "causal":
        for _, start, end in note:
            target[start:end] = ids[start:end]
        return inputs, target
    chosen = choose_masked(note, schema.mask_share, rng)
    for position in chosen:
        target[position] = ids[position]
    masked = mask_tokens(ids, chosen, schema.mask_id, schema.vocabulary, schema.special_ids, rng)
    return {**inputs, "input_ids": masked}, target


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return nothing: the checkpoint's config says all."""
    return {}


def _labels(batch: Batch, schema: Schema) -> torch.Tensor:
    """Return what the output at each position is to predict: the next token, or the masked one; shape (features, width)."""
    from torch.nn import functional

    return (
        functional.pad(batch.targets[:, 1:], (0, 1), value=IGNORED) if schema.objective == "causal" else batch.targets
    )


def logit_positions(batch: Batch, schema: Schema) -> torch.Tensor:
    """Return where something is predicted."""
    return _labels(batch, schema) != IGNORED


def _chunks(values: torch.Tensor) -> Any:
    return values.split(CHUNK)  # type: ignore[no-untyped-call]


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the cross entropy summed over the targets, computed in float32, a chunk of positions at a time."""
    import torch
    from torch.nn import functional

    wanted = logit_positions(batch, schema)
    logits, labels = at_places(outputs.logits, wanted), _labels(batch, schema)[wanted]
    parts = zip(_chunks(logits), _chunks(labels), strict=True)
    losses = [functional.cross_entropy(part.float(), some, reduction="sum") for part, some in parts]
    return torch.stack(losses).sum()


def predict(outputs: Any, batch: Batch, schema: Schema) -> list[np.ndarray]:
    """Return per feature an array (2, tokens), float32: each token's nll, and 1 where it is the most probable one, else 0.

    Where nothing is predicted these are 0 and -1. Positions are those of the targets, up to the last one.
    """
    import torch
    from torch.nn import functional

    labels, wanted = _labels(batch, schema), logit_positions(batch, schema)
    flat = labels.flatten()
    nll, right = torch.zeros(flat.shape, device=flat.device), torch.full(flat.shape, -1.0, device=flat.device)
    for some, logits in zip(_chunks(places_of(wanted)), _chunks(at_places(outputs.logits, wanted)), strict=True):
        part = logits.float()
        nll[some] = functional.cross_entropy(part, flat[some], reduction="none")
        right[some] = (part.argmax(-1) == flat[some]).float()
    both = torch.stack([nll.view_as(labels), right.view_as(labels)], dim=1)
    if schema.objective == "causal":  # from the position that predicts to the one that is predicted
        both = torch.cat([torch.tensor([0.0, -1.0], device=both.device).view(1, 2, 1).expand(len(both), 2, 1), both], 2)
    lengths = [int(row.nonzero().max()) + 1 if row.any() else 0 for row in (batch.targets != IGNORED).cpu()]
    return [values[:, :length] for values, length in zip(both.cpu().numpy(), lengths, strict=True)]


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row: nll in nats, tokens predicted, bytes they stand for, tokens right, perplexity, bits per byte.

    For a masked model the bytes are the row's, times the share of its tokens that was masked.
    """
    sums = np.zeros((len(rows), 4))
    maskable = np.zeros(len(rows))
    for value, note, row in zip(values, features.notes, features.example_ids, strict=True):
        spans = note if schema.objective == "causal" else [(row, 0, value.shape[1])]
        for owner, start, end in spans:
            nll, right = value[:, start:end].astype(np.float64)
            sums[owner] += (nll.sum(), (right >= 0).sum(), 0, (right > 0).sum())
        if schema.objective == "masked":
            maskable[row] += sum(word >= 0 for word in note)
    for index, asked in enumerate(rows):
        share = sums[index, language.TOKENS] / max(maskable[index], 1) if schema.objective == "masked" else 1.0
        sums[index, language.BYTES] = round(float(share) * len(_text(asked, schema).encode()))
    return [_named(one) for one in sums]


def _named(sums: np.ndarray) -> dict[str, Any]:
    nll, tokens, n_bytes, correct = sums.tolist()
    one = sums[None]
    scores = {"perplexity": language.perplexity(one, one), "bits_per_byte": language.bits_per_byte(one, one)}
    return {
        "nll": nll if math.isfinite(nll) else None,
        "tokens": int(tokens),
        "bytes": int(n_bytes),
        "correct": int(correct),
        **{name: score if math.isfinite(score) else None for name, score in scores.items()},
    }


def reference_answer(row: Row, schema: Schema) -> Any:
    """Return nothing: the text is its own answer."""
    return None


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of [nll, tokens, bytes, right]: the model's, and those of a model that is certain of the truth."""
    names = ("nll", "tokens", "bytes", "correct")
    predictions = np.array([[one[name] for name in names] for one in decoded], np.float64)  # None becomes NaN
    references = predictions.copy()
    references[:, language.NLL] = 0
    references[:, language.CORRECT] = references[:, language.TOKENS]
    return predictions, references


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return perplexity, loss per token, bits per byte and accuracy, over all predicted tokens of a split."""
    return {
        "perplexity": Metric(
            language.perplexity, greater_is_better=False, depends_on_tokenizer=True, short_names=("ppl",)
        ),
        "loss_per_token": Metric(
            language.loss_per_token,
            best=0.0,
            greater_is_better=False,
            depends_on_tokenizer=True,
            short_names=("loss",),
        ),
        "bits_per_byte": Metric(language.bits_per_byte, best=0.0, greater_is_better=False),
        "accuracy": Metric(language.accuracy, is_share=True, depends_on_tokenizer=True, short_names=("acc",)),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return how much text was scored, and what the numbers are."""
    meaning = {
        "masked": "pseudo-perplexity: masked tokens predicted from both sides; not comparable with a causal model's",
        "apart": "each row by itself, the end-of-text token that closes it included",
        "joined": "all rows as one text, cut into blocks",
    }
    _, tokens, n_bytes, _ = predictions.sum(axis=0).tolist()
    described = meaning["masked" if schema.objective == "masked" else schema.documents]
    return {"language": {"tokens": int(tokens), "bytes": int(n_bytes), "meaning": described}}


def bytes_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Count bytes after the four before them. It has no tokens: only bits per byte are defined.

    Returns nothing for masked models, whose numbers cannot be compared with it.
    """
    from ft_toolkit.tasks.text.byte_model import negative_log_likelihoods

    if schema.objective == "masked":
        return []
    texts = [_text(row, schema) for row in rows]
    found = negative_log_likelihoods([_text(row, schema) for row in train], texts)
    return [_named(np.array([nll, 0, len(text.encode()), 0])) for nll, text in zip(found, texts, strict=True)]


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Refuse causal against masked models; skip scores per token when the texts were tokenized differently."""
    if first.schema.objective != other.schema.objective:
        objectives = f"{first.schema.objective}, {other.schema.objective}"
        return Comparability(f"they differ in the objective ({objectives} language modelling)")
    tokens, other_tokens = (run.predictions[:, language.TOKENS] for run in (first, other))
    if np.array_equal(tokens, other_tokens, equal_nan=True):
        return Comparability()
    per_token = tuple(name for name, metric in metrics(first.settings).items() if metric.depends_on_tokenizer)
    return Comparability(None, per_token, "The runs use different tokenizers, so only bits per byte can be compared.")


def pipeline_tag_of(schema: Schema) -> str:
    """Return the Hub's name of the task for the objective."""
    return "fill-mask" if schema.objective == "masked" else "text-generation"


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the fill-mask or text-generation pipeline."""
    variable, call = ("write", 'write("A text that begins", max_new_tokens=40)')
    if schema.objective == "masked":
        variable, call = ("fill", 'fill(f"A text with a {fill.tokenizer.mask_token}.")')
    tag = pipeline_tag_of(schema)
    return PipelineCode(
        f'from transformers import pipeline\n\n{variable} = pipeline("{tag}", model="{request.model}")\n{call}'
    )


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
    """Return twelve texts, of one word to two sentences."""
    return [{"id": str(number), "text": text} for number, text in enumerate(_SAMPLES, 1)]


TASK = Task(
    name="language_modelling",
    settings=Settings,
    columns={"text": Column("the text, a document per row", example="A text.")},
    read_rows=read_rows,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={"encoder": "AutoModelForMaskedLM", "decoder": "AutoModelForCausalLM"},
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=predict,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["perplexity"],
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"bytes": Baseline(bytes_baseline)},
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
    logit_positions=logit_positions,
)
