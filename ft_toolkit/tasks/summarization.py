"""Summarization: a document goes in, a shorter text comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ft_toolkit.metrics import rouge
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Baseline, Column, Features, Pretrained, Row, Rows, Task
from ft_toolkit.tasks.display.texts import generated_texts
from ft_toolkit.tasks.text import generation
from ft_toolkit.tasks.text.generation import Schema
from ft_toolkit.tasks.text.token_targets import count_targets, pad_targets

# What T5 was trained with; and what GPT-2's makers found to call for a summary (Radford et al. 2019).
T5_PREFIX = "summarize: "
PROMPT = "{document}\n\nTL;DR:\n"


class Settings(generation.GenerationSettings):
    """What stands under `task:`; the prompt's place for the text is {document}."""

    name: Literal["summarization"] = "summarization"


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check that documents and summaries are texts; a row with a list of them gets the first as its summary."""
    generation.check_texts(rows, "document", where)
    read: list[Row] = []
    foreign = 0
    for number, row in enumerate(rows, 1):
        if "summary" not in row and "references" not in row:
            read.append(row)
            continue
        texts = generation.read_answers(row, "summary", where, number)
        foreign += not any(re.search("[a-z0-9]", text.lower()) for text in texts)
        several = {"references": texts} if len(texts) > 1 else {}
        read.append({**{k: v for k, v in row.items() if k != "references"}, "summary": texts[0], **several})
    notes = [f"{foreign} of {len(rows)} summaries have no letter a to z; ROUGE sees nothing else"] if foreign else []
    return read, notes


def find_schema(settings: Settings, rows: Rows, card_labels: Sequence[str] | None, pretrained: Pretrained) -> Schema:
    """Find special tokens and the text around a document. Raises UsageError or ModelError, see generation.find_schema."""
    prefix = T5_PREFIX if pretrained.config.model_type == "t5" else ""
    return generation.find_schema(settings, pretrained, prefix=prefix, prompt=PROMPT, place="{document}")


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature: at most max_length tokens of the document, max_target_length of the summary."""
    answers = [str(row["summary"]) for row in rows] if rows and "summary" in rows[0] else None
    documents = [str(row["document"]) for row in rows]
    return generation.encode(documents, answers, tokenizer, schema, max_length, "summary tokens")


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return the generated summary of each row."""
    return [{"summary": text} for text in values]


def reference_answer(row: Row, schema: Schema) -> str | list[str]:
    """Return the true summary, a list where there are several."""
    texts = generation.references_of(row, "summary")
    return texts[0] if len(texts) == 1 else texts


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return ROUGE of each example and its number of words, and the same of the first reference against itself."""
    references = [generation.references_of(row, "summary") for row in rows]
    return rouge.statistics([str(one["summary"]) for one in decoded], references)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return ROUGE F-measures, 0 to 100. rougeL comes first: unlike rouge2 it is seldom 0 for a whole example, so that it
    tells checkpoints apart on few rows; unlike rouge1 it looks at the order of words.
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
    """Return mean lengths in words, and how ROUGE was computed."""
    return {
        "mean_words": {"predicted": rouge.mean_words(predictions), "reference": rouge.mean_words(references)},
        "signatures": {"rouge": "rouge-score, F-measure, Porter stemmer, best reference per example"},
    }


def lead_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Take the document's first sentences, as many as the training summaries have on average (at least one)."""
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
    """Return twelve messages with a summary each; every third has two."""
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
        "summary": Column("the summary to learn, or a list of several", is_answer=True),
        "references": Column("a list of summaries; a prediction is held to the best", required=False, is_answer=True),
    },
    read_rows=read_rows,
    find_schema=find_schema,
    load_schema=generation.load_schema,
    encode=encode,
    auto_class=generation.AUTO_CLASS,
    model_kwargs=generation.model_kwargs,
    pad_targets=pad_targets,
    loss_sum=generation.loss_sum,
    logit_positions=generation.logit_positions,
    count_targets=count_targets,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["summary"],
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"lead": Baseline(lead_baseline)},
    wrong_examples=lambda records, schema: generated_texts(records, "summary"),
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="summarization",
    prediction_text=lambda schema: "A prediction has a summary.",
    sample_rows=sample_rows,
    text_column="document",
    generate=generation.generate,
    configure=generation.configure,
)
