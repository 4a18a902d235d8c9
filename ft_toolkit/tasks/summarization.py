"""Summarization: generate a short text from a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import UsageError
from ft_toolkit.metrics import rouge
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    WORD_CHANGES,
    Augmentation,
    Baseline,
    Column,
    Comparability,
    DefinedLabels,
    Features,
    Pretrained,
    Row,
    Rows,
    ScoredRun,
    Task,
)
from ft_toolkit.tasks.display.prediction_form import PredictionForm, Summary
from ft_toolkit.tasks.display.texts import generated_texts
from ft_toolkit.tasks.guessing.pairs import guess_summary
from ft_toolkit.tasks.text import generation, source_target
from ft_toolkit.tasks.text.cells import Printed, form_notes
from ft_toolkit.tasks.text.generation import Schema
from ft_toolkit.tasks.text.language_tokens import has_language_tokens
from ft_toolkit.tasks.text.text_notes import source_notes, target_notes
from ft_toolkit.tasks.text.token_targets import count_targets, pad_targets

# The prefix that T5 was trained with, and the prompt that makes GPT-2 summarize (Radford et al. 2019).
T5_PREFIX = "summarize: "
PROMPT = "{document}\n\nTL;DR:\n"


class Settings(generation.GenerationSettings):
    """The `task:` section of a recipe. {document} in the prompt is replaced by the text."""

    name: Literal["summarization"] = "summarization"
    # Language of the documents, for checkpoints with language tokens: a name of the tokenizer, such as en_XX (mBART).
    source_language: str | None = None
    # Language of the summaries, for checkpoints with language tokens. Default: the language of the documents.
    target_language: str | None = None


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check documents and summaries. Of a list of summaries, the first one becomes the summary. Raises DataError."""
    source_target.check_texts(rows, "document", where)
    read: list[Row] = []
    printed: list[Printed] = []
    for number, row in enumerate(rows, 1):
        if "summary" not in row and "references" not in row:
            read.append(row)
            continue
        texts = source_target.read_targets(row, "summary", f"{where}: row {number}", printed)
        references = {"references": texts} if len(texts) > 1 else {}
        read.append({**{k: v for k, v in row.items() if k != "references"}, "summary": texts[0], **references})
    n_hidden = rouge.count_hidden([source_target.references_of(row, "summary") for row in read if "summary" in row])
    return read, [*form_notes("summary", printed), *([_hidden_note(n_hidden, len(rows))] if n_hidden else [])]


def _hidden_note(n_hidden: int, n_rows: int) -> CountedNote:
    def write(counts: Mapping[str, int], n_rows: int) -> str:
        n_hidden = counts["hidden"]
        return f"{n_hidden} of {n_rows} summaries have few or no words that ROUGE counts, so their scores are near 0"

    return CountedNote("hidden words", {"hidden": n_hidden}, write, n_rows)


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the special tokens and the text around a document; see `generation.find_schema`."""
    prefix = T5_PREFIX if pretrained.config.model_type == "t5" else ""
    for name in ("source_language", "target_language"):
        if getattr(settings, name) is not None and not has_language_tokens(pretrained.tokenizer):
            raise UsageError(f"task.{name} has no effect: this checkpoint has no language tokens; remove it")
    languages = (settings.source_language, settings.target_language or settings.source_language)
    return generation.find_schema(
        settings, pretrained, prefix=prefix, prompt=PROMPT, placeholder="{document}", languages=languages
    )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature of at most max_length source and max_target_length summary tokens."""
    summaries = [str(row["summary"]) for row in rows] if rows and "summary" in rows[0] else None
    documents = source_target.framed([str(row["document"]) for row in rows], schema)
    return source_target.encode(documents, summaries, tokenizer, schema, max_length, "summary tokens")


def notes(rows: Rows, features: Features | None, tokenizer: Any, schema: Schema) -> list[str]:
    """Return notes on texts that the prefix, the prompt or the tokenizer changes."""
    on_sources = source_notes([str(row["document"]) for row in rows], schema)
    if features is None:
        return on_sources
    return on_sources + target_notes([str(row["summary"]) for row in rows], tokenizer, schema)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return {"summary"} per row."""
    return [{"summary": text} for text in values]


def reference_answer(row: Row, schema: Schema) -> str | list[str]:
    """Return the reference summary, or a list of several."""
    texts = source_target.references_of(row, "summary")
    return texts[0] if len(texts) == 1 else texts


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return ROUGE and the number of words of each prediction, and the same of the first reference against itself."""
    references = [source_target.references_of(row, "summary") for row in rows]
    return rouge.statistics([str(prediction["summary"]) for prediction in decoded], references)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return ROUGE F-measures, 0 to 100.

    rougeL comes first: it is rarely 0 for an example, so that it separates checkpoints on few rows (unlike rouge2), and it
    depends on the order of words (unlike rouge1).
    """
    names = ("rougeL", "rouge1", "rouge2", "rougeLsum")
    return {
        name: Metric(
            rouge.mean_of(name),
            best=100.0,
            is_mean=True,
            hub_name="rouge",
            short_names=("rouge",) if name == "rougeL" else (),
        )
        for name in names
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the mean lengths in words, and the definition of ROUGE."""
    return {
        "mean_words": {"predicted": rouge.mean_words(predictions), "reference": rouge.mean_words(references)},
        "signatures": {"rouge": rouge.signature(predictions)},
    }


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Refuse runs whose ROUGE scores have different definitions."""
    signatures = [rouge.signature(run.predictions) for run in (first, other)]
    if signatures[0] == signatures[1]:
        return Comparability()
    return Comparability(
        f"they differ in the words of ROUGE ({'; '.join(signatures)}); score the older run again with ftk evaluate"
    )


def lead_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Return the first sentences of the document; their number is the mean of the training summaries, at least 1."""
    counts = [len(rouge.sentences(str(row["summary"]))) for row in train]
    n = max(round(sum(counts) / len(counts)), 1)
    return [{"summary": "\n".join(rouge.sentences(str(row["document"]))[:n])} for row in rows]


_SAMPLES = [
    ("The kettle arrived on Monday. It leaks at the base, and the lid does not close. I would like a new one.",
     "A leaking kettle should be replaced."),
    ("I paid for the lamp twice. The second charge is from last Friday. Please send that money back.",
     "A lamp was charged twice and the buyer wants a refund."),
    ("My parcel has been at the depot since Monday. Nobody answers the phone there. When will it come?",
     "A parcel is stuck at the depot."),
    ("The password link in your mail is dead. I tried three times. I cannot see my orders without it.",
     "The password link does not work."),
    ("Does the blue speaker run on batteries? The page does not say. We want to take it to the lake.",
     "The writer asks whether a speaker runs on batteries."),
    ("The screen cracked on the second day. I did not drop it. Your shop says that it is my fault.",
     "A new screen cracked and the shop denies the claim."),
    ("Please cancel my order of the fan. I found the old one in the cellar. It has not been sent yet.",
     "An order for a fan should be cancelled."),
    ("The courier left the box in the rain. The radio inside is wet and silent. I have photographs.",
     "A radio was ruined by rain and the customer has photographs."),
    ("I want to send the headphones back. They are fine but too tight. The label did not come with them.",
     "The customer needs a label to return headphones."),
    ("You promised twenty percent off. The invoice shows the full price. Please correct it this week.",
     "A promised discount is missing from the invoice."),
    ("Which cable fits the old television? It has a round socket. The manual is lost.",
     "The writer needs a cable for an old television."),
    ("We moved house in May. The last two parcels went to the old street. Change our address, please.",
     "A customer wants the delivery address changed."),
]  # fmt: skip


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve messages with summaries; every third one has two references."""
    rows: list[dict[str, Any]] = []
    for number, (document, summary) in enumerate(_SAMPLES):
        row = {"id": str(number + 1), "document": document, "summary": summary}
        rows.append(row if number % 3 else {**row, "references": [summary, f"The customer says: {summary}"]})
    return rows


TASK = Task(
    name="summarization",
    settings=Settings,
    columns={
        "document": Column("the text to summarize", example="A text."),
        "summary": Column("the summary, or a list of summaries", is_answer=True),
        "references": Column("a list of summaries; the best match counts", required=False, is_answer=True),
    },
    read_rows=read_rows,
    answer_form=lambda row, settings: None,
    # the summary, which the model learns to write, stays
    augmentation=lambda settings: Augmentation({"document": WORD_CHANGES}),
    guess=guess_summary,
    find_schema=find_schema,
    load_schema=generation.load_schema,
    encode=encode,
    notes=notes,
    auto_class=generation.AUTO_CLASS,
    model_kwargs=generation.model_kwargs,
    pad_targets=pad_targets,
    loss_sum=generation.loss_sum,
    logit_positions=generation.logit_positions,
    count_targets=count_targets,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["summary"],
    prediction_form=lambda schema: PredictionForm(Summary, text="summary"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    comparability=comparability,
    baselines={"lead": Baseline(lead_baseline, "the first sentences of the document")},
    wrong_examples=lambda records, schema: generated_texts(records, "summary"),
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="summarization",
    prediction_text=lambda schema: "A prediction has a summary.",
    sample_rows=sample_rows,
    text_column="document",
    generate=generation.generate,
    stream=generation.stream,
    exported_texts=generation.EXPORTED_TEXTS,
    configure=generation.configure,
)
