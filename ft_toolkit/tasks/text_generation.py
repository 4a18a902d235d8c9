"""Text generation: a decoder continues a prompt.

    row {prompt, completion}    [start] prompt completion [end]      the loss covers completion and end token
    row {text}                  [start] text [end]                   the loss covers text and end token

Every sequence starts with the start token of the tokenizer (bos, else eos). The saved tokenizer adds it, so that transformers
alone gives the model the same input. A held-out text is scored as a whole, as in language modelling. Its first words are also
continued as a prompt, so that the report shows samples beside the true continuation.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.words import find_words
from ft_toolkit.metrics import language
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    WORD_CHANGES,
    Augmentation,
    Baseline,
    Batch,
    CheckpointBaseline,
    Column,
    DefinedLabels,
    Features,
    OnText,
    PipelineCode,
    PipelineRequest,
    Pretrained,
    Row,
    Rows,
    Task,
)
from ft_toolkit.tasks.display.pipeline_code import pipeline_code
from ft_toolkit.tasks.display.prediction_form import Continuation, PredictionForm
from ft_toolkit.tasks.display.texts import random_texts
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.guessing.texts import guess_completions
from ft_toolkit.tasks.text import sample_scores, token_scores
from ft_toolkit.tasks.text.blank_rows import blank_notes
from ft_toolkit.tasks.text.blocks import Span, apart
from ft_toolkit.tasks.text.byte_model import negative_log_likelihoods
from ft_toolkit.tasks.text.decoding import (
    Decoding,
    DecodingSettings,
    continue_prompts,
    exported_texts,
    find_decoding,
    generation_config,
    load_decoding,
    prompt_limit,
)
from ft_toolkit.tasks.text.missing_labels import drop_partial
from ft_toolkit.tasks.text.positions import input_positions
from ft_toolkit.tasks.text.start_token import add_start_token, find_start_token
from ft_toolkit.tasks.text.token_targets import IGNORED, count_targets, pad_targets

if TYPE_CHECKING:
    pass


# The fewest tokens of a prompt: the start token and another one.
_MIN_PROMPT = 2


class Settings(DecodingSettings):
    """The `task:` section of a recipe."""

    name: Literal["text_generation"] = "text_generation"
    # Rows with plain texts: the number of first words of a held-out text that are the prompt, at most half of its words.
    prompt_words: Annotated[int, Field(ge=0)] = 20
    # Share of the held-out rows that are continued, chosen by their texts. All rows count for the perplexity.
    continued_share: Annotated[float, Field(gt=0, le=1)] = 1.0


@dataclass(frozen=True)
class Schema:
    """Tokens, limits and generation settings. With `packed`, several rows share a block."""

    start_id: int
    end_id: int
    packed: bool
    # The number of positions of the model; None for no limit.
    max_positions: int | None
    prompt_words: int
    continued_share: float
    decoding: Decoding


# The note of a block: its predicted tokens, and the prompts to continue as (row, tokens).
BlockNote = tuple[list[Span], list[tuple[int, list[int]]]]


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**{**values, "decoding": load_decoding(values["decoding"])})


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check that every row has a text, or a prompt and a completion. When predicting, a prompt is enough. Raises DataError."""
    read: list[Row] = []
    for number, row in enumerate(rows, 1):
        values = {name: row[name] for name in ("text", "prompt", "completion") if row.get(name) is not None}
        for name, value in values.items():
            if not isinstance(value, str):
                raise DataError(f"{where}: row {number}: column '{name}' must be text; found {value!r}")
        has_text, is_training = "text" in values, settings is not None
        if has_text == bool(values.keys() - {"text"}):
            raise DataError(
                f"{where}: row {number}: a row needs a column 'text', or columns 'prompt' and 'completion'; found "
                f"{' and '.join(values) or 'neither'}"
            )
        if not has_text and ("prompt" not in values or (is_training and "completion" not in values)):
            raise DataError(
                f"{where}: row {number}: column '{'completion' if 'prompt' in values else 'prompt'}' is missing"
            )
        if read and has_text != ("text" in read[0]):
            raise DataError(f"{where}: row {number}: some rows have a text, others a prompt; use one form in all rows")
        others = {name: value for name, value in row.items() if name not in ("text", "prompt", "completion")}
        read.append({**others, **values})
    if settings is None:
        return drop_partial(read, "completion")
    kept = [row for row in read if _scored_text(row).strip()]
    if not kept:
        raise DataError(f"{where}: all rows are blank; rows with text are required")
    return kept, blank_notes(len(read) - len(kept), len(read))


def _scored_text(row: Row) -> str:
    """Return the text that the model learns; empty for a prompt alone."""
    return str(row.get("text", row.get("completion", "")))


def _is_scored(row: Row) -> bool:
    return "text" in row or "completion" in row


def split_text(row: Row, prompt_words: int) -> tuple[str, str]:
    """Return the prompt of a row and its true continuation, which is empty for a prompt alone."""
    if "text" not in row:
        return str(row["prompt"]), _scored_text(row)
    words = find_words(row["text"])
    n = min(prompt_words, len(words) // 2)
    end = words[n - 1][1] if n else 0
    return row["text"][:end], row["text"][end:]


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the tokens and limits of the checkpoint. Raises UsageError for a setting without effect, ModelError."""
    tokenizer, config = pretrained.tokenizer, pretrained.config
    start_id = find_start_token(tokenizer)
    has_texts = bool(rows) and "text" in rows[0]
    if not has_texts and settings.prompt_words != Settings.model_fields["prompt_words"].default:
        raise UsageError("task.prompt_words has no effect on rows with prompts; remove it")
    return Schema(
        start_id,
        tokenizer.eos_token_id,
        config.model_type in token_scores.PACKS,
        input_positions(config),
        settings.prompt_words,
        settings.continued_share,
        find_decoding(settings, tokenizer),
    )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return blocks of at most max_length tokens with targets, or prompts alone for rows without a completion.

    A prompt loses its first tokens if prompt and completion are too long together, or if the model has too few positions for
    prompt and generated text. A completion keeps at least half of max_length; further tokens are cut. Texts are never cut.
    """
    add_start_token(tokenizer, schema.start_id)
    limit = prompt_limit(schema.decoding, schema.max_positions, max_length, _MIN_PROMPT)
    pairs = [split_text(row, schema.prompt_words) for row in rows]
    prompts = _tokenize([prompt for prompt, _ in pairs], tokenizer)
    shortened = [[schema.start_id, *_last(prompt, limit - 1)] for prompt in prompts]
    if not rows or not _is_scored(rows[0]):
        cut = [len(prompt) + 1 - len(kept) for prompt, kept in zip(prompts, shortened, strict=True)]
        notes: list[BlockNote] = [([], [(row, prompt)]) for row, prompt in enumerate(shortened)]
        return Features({"input_ids": shortened}, [None] * len(rows), list(range(len(rows))), cut, notes=notes)
    if "text" in rows[0]:
        given: list[list[int]] = [[] for _ in rows]
        texts, answers_cut = _tokenize([row["text"] for row in rows], tokenizer), [0] * len(rows)
    else:
        given = prompts
        texts = _tokenize([row["completion"] for row in rows], tokenizer)
        room = max_length - 2  # start and end token
        kept = [text[: max(room - len(prompt), room - room // 2)] for prompt, text in zip(given, texts, strict=True)]
        answers_cut = [len(text) - len(part) for text, part in zip(texts, kept, strict=True)]
        given, texts = [_last(prompt, room - len(text)) for prompt, text in zip(given, kept, strict=True)], kept
    n_cut = [0] * len(rows) if "text" in rows[0] else [len(a) - len(b) for a, b in zip(prompts, given, strict=True)]
    sequences = [[*prompt, *text] for prompt, text in zip(given, texts, strict=True)]
    n_given = list(map(len, given))
    inputs, spans = apart(sequences, schema.start_id, schema.end_id, max_length, packed=schema.packed, n_given=n_given)
    continued = {row for row, (prompt, _) in enumerate(pairs) if _is_continued(rows[row], prompt, schema)}
    notes = []
    for block in spans:
        first = [row for row, _, _ in block if row in continued]
        continued -= set(first)  # a row is continued in its first block
        notes.append((block, [(row, shortened[row]) for row in first]))
    targets = [_targets(ids, block) for ids, block in zip(inputs["input_ids"], spans, strict=True)]
    cuts = {"completion tokens": answers_cut} if any(answers_cut) else {}
    return Features(inputs, targets, [block[0][0] for block in spans], n_cut, cuts, notes)


def _last(tokens: list[int], size: int) -> list[int]:
    return tokens[max(len(tokens) - size, 0) :]


def _tokenize(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    if not texts:
        return []
    return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def _is_continued(row: Row, prompt: str, schema: Schema) -> bool:
    """Return whether a row is among the rows that are continued; the choice depends on its text and the seed alone."""
    number = zlib.crc32(f"{schema.decoding.sampling_seed} {prompt} {_scored_text(row)}".encode())
    return number < schema.continued_share * 2**32


def _targets(ids: Sequence[int], spans: Sequence[Span]) -> list[int]:
    target = [IGNORED] * len(ids)
    for _, start, end in spans:
        target[start:end] = ids[start:end]
    return target


def generate(model: Any, batch: Batch, schema: Schema, tokenizer: Any) -> list[list[list[str]]]:
    """Return for each block the samples of each of its prompts."""
    return _generate(model, batch, schema, tokenizer, None)


def stream(model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText) -> list[list[list[str]]]:
    """Return the samples of a batch of one block as `generate` does, and pass the first text to `on_text` in pieces."""
    return _generate(model, batch, schema, tokenizer, on_text)


def _generate(
    model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText | None
) -> list[list[list[str]]]:
    prompts = [prompt for _, continued in batch.notes for _, prompt in continued]
    samples = iter(continue_prompts(model, prompts, schema.decoding, tokenizer, on_text) if prompts else [])
    return [[next(samples) for _ in continued] for _, continued in batch.notes]


def _prompts(features: Features) -> list[list[int]]:
    """Return the prompts of features in the order of `generate`."""
    return [prompt for _, continued in features.notes for _, prompt in continued]


def _values(samples: list[list[str]], features: Features) -> list[list[list[str]]]:
    """Return the values of `generate` from the samples of each prompt."""
    remaining = iter(samples)
    return [[next(remaining) for _ in continued] for _, continued in features.notes]


def configure(model: Any, schema: Schema) -> None:
    """Set the generation settings of the model, so that its saved folder writes the same text without this toolkit."""
    model.generation_config = generation_config(schema.decoding)


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return no changes of the checkpoint's config."""
    return {}


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row the continuation, all samples if there are several, and the scores of its text or completion.

    The continuation is None for a row that is not continued. Rows without a completion have no scores.
    """
    sums = np.zeros((len(rows), 4))
    samples: dict[int, list[str]] = {}
    for (scores, texts), (spans, prompts) in zip(values, features.notes, strict=True):
        samples.update({row: written for (row, _), written in zip(prompts, texts or (), strict=False)})
        for row, start, end in spans if scores is not None else ():
            nll, correct = scores[:, start:end].astype(np.float64)
            sums[row] += (nll.sum(), (correct >= 0).sum(), 0, (correct > 0).sum())
    decoded = []
    for index, row in enumerate(rows):
        written = samples.get(index)
        prediction: dict[str, Any] = {"continuation": written[0] if written else None}
        if schema.decoding.num_return_sequences > 1:
            prediction["samples"] = written
        if _is_scored(row):
            sums[index, language.BYTES] = len(_scored_text(row).encode())
            prediction |= token_scores.prediction(sums[index])
        decoded.append(prediction)
    return decoded


def reference_answer(row: Row, schema: Schema) -> str:
    """Return the true continuation of the prompt."""
    return split_text(row, schema.prompt_words)[1]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays with the columns of `sample_scores`. Continuations are compared with completions only."""
    samples = [sample_scores.samples_of(prediction, "continuation") for prediction in decoded]
    references = [reference_answer(row, schema) for row in rows]
    has_reference = ["completion" in row for row in rows]
    return sample_scores.to_arrays(decoded, samples, references, has_reference)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the scores of language modelling, then those of the generated texts.

    BLEU and ROUGE-L compare a continuation with the completion of its row. They are undefined for rows with a text.
    """
    return dict(sample_scores.METRICS)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the amount of text that was scored, and the variety of the samples beside the true continuations."""
    return sample_scores.details(predictions)


def bytes_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict each byte from the four bytes before it, by counting; without tokens and without generated texts."""
    prompts = [str(row.get("prompt", "")) for row in rows]
    full = [prompt + _scored_text(row) for prompt, row in zip(prompts, rows, strict=True)]
    learned = [str(row.get("prompt", "")) + _scored_text(row) for row in train]
    nlls = negative_log_likelihoods(learned, [*full, *prompts])
    return [
        {
            "continuation": None,
            **token_scores.prediction(np.array([nll - prompt_nll, 0, len(_scored_text(row).encode()), 0])),
        }
        for row, nll, prompt_nll in zip(rows, nlls[: len(rows)], nlls[len(rows) :], strict=True)
    ]


def samples_beside_truth(records: Sequence[Mapping[str, Any]], schema: Schema) -> WrongExamples:
    """Return random continuations beside the true ones."""

    def prompt_of(record: Mapping[str, Any]) -> str:
        return split_text(record, schema.prompt_words)[0]

    return random_texts(records, "continuation", prompt_of, schema.decoding.sampling_seed)


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the text-generation pipeline, which reads the saved generation settings."""
    code = pipeline_code(
        request,
        tag="text-generation",
        auto_class="AutoModelForCausalLM",
        variable="write",
        call=f"write({request.example})",
    )
    remark = "It writes the same text as ftk predict by greedy search, and other texts by sampling."
    if schema.decoding.stop_strings:
        remark += " It does not know the stop strings of this model."
    return PipelineCode(code, remark)


_SAMPLES = (
    ("Order: one kettle, one lamp.\nReply:", " We have packed a kettle and a lamp for you."),
    ("Order: two chairs.\nReply:", " We have packed two chairs for you."),
    ("Order: a blue speaker.\nReply:", " We have packed a blue speaker for you."),
    ("Cancel the fan.\nReply:", " The fan is cancelled and your money is on its way."),
    ("Cancel both lamps.\nReply:", " Both lamps are cancelled and your money is on its way."),
    ("Where is my parcel?\nReply:", " It left the depot this morning and reaches you before noon."),
    ("Where is the second box?\nReply:", " It left the depot on Friday and reaches you on Monday."),
    ("The radio is silent.\nReply:", " Please send it back; a new radio leaves today."),
    ("The screen has a crack.\nReply:", " Please send it back; a new screen leaves tomorrow."),
    ("Which cable fits?\nReply:", " The short one with the round plug."),
    ("Are you open on Sunday?\nReply:", " No, but you can order at any hour."),
    ("Thank you!\nReply:", " You are welcome."),
)


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve prompts with completions."""
    return [{"id": str(i), "prompt": prompt, "completion": text} for i, (prompt, text) in enumerate(_SAMPLES, 1)]


TASK = Task(
    name="text_generation",
    settings=Settings,
    columns={
        "prompt": Column("the text to continue", required=False, example="A text that begins"),
        "completion": Column("the continuation of the prompt", required=False, may_be_empty=True, only_scores=True),
        "text": Column("a text to learn, without a prompt", required=False, only_scores=True),
    },
    read_rows=read_rows,
    streams_rows=True,
    answer_form=lambda row, settings: row.get("text") is not None,
    # completions, and texts without a prompt, are what the model learns to write
    augmentation=lambda settings: Augmentation({"prompt": WORD_CHANGES}),
    guess=guess_completions,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    joins_rows=lambda schema: True,
    auto_class={"decoder": "AutoModelForCausalLM"},
    model_kwargs=model_kwargs,
    configure=configure,
    pad_targets=pad_targets,
    loss_sum=token_scores.next_token_loss_sum,
    logit_positions=token_scores.next_token_positions,
    count_targets=count_targets,
    predict=token_scores.next_token_scores,
    generate=generate,
    stream=stream,
    exported_texts=exported_texts(_prompts, _values, lambda schema: schema.decoding),
    scored_tokens=lambda schema: "next",
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["continuation"],
    prediction_form=lambda schema: PredictionForm(Continuation, text="continuation"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    titles=sample_scores.TITLES,
    comparability=token_scores.comparability,
    baselines={
        "bytes": Baseline(bytes_baseline, "counts of the byte that follows four bytes"),
        "untuned": CheckpointBaseline("the checkpoint before training"),
    },
    wrong_examples=samples_beside_truth,
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="text-generation",
    pipeline=pipeline,
    prediction_text=lambda schema: (
        "A prediction has the continuation of a prompt; with a completion or a text also its perplexity, nll, tokens and bytes."
    ),
    reads_windows=lambda schema: True,
    sample_rows=sample_rows,
    text_column="prompt",
)
