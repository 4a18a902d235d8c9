"""Generated texts beside their references, and the documents with the highest perplexity."""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ft_toolkit.tasks.display.wrong_examples import (
    GENERATED_LIMIT,
    LIMIT,
    Piece,
    WrongExample,
    WrongExamples,
    draw,
    plain_texts,
    shorten,
)

_MAX_REFERENCES = 3
Record = Mapping[str, Any]


def generated_texts(records: Sequence[Record], key: str) -> WrongExamples:
    """Return outputs beside their references: the lowest scores, or without scores a selection spread over the rows.

    `key` is the key of the generated text in a record.
    """
    scored = [record for record in records if _is_number(record.get("score"))]
    if len(scored) == len(records):
        chosen = heapq.nsmallest(GENERATED_LIMIT, records, key=lambda record: float(record["score"]))
        heading = "Lowest-scoring examples"
        summary = f"The {len(chosen):,} examples with the lowest scores, of {len(records):,}."
    else:
        step = max(len(records) / GENERATED_LIMIT, 1.0)
        chosen = [records[int(i * step)] for i in range(min(GENERATED_LIMIT, len(records)))]
        heading = "Examples"
        summary = f"{len(chosen):,} of {len(records):,} examples, spread evenly over the rows; not selected by quality."
    return WrongExamples(heading, summary, [_generated(record, key) for record in chosen], side_by_side=True)


def _generated(record: Record, key: str) -> WrongExample:
    references = record["gold"] if isinstance(record["gold"], list) else [record["gold"]]
    shown = [shorten(str(reference)) for reference in references[:_MAX_REFERENCES]]
    if len(references) > _MAX_REFERENCES:
        shown.append(f"(and {len(references) - _MAX_REFERENCES} more)")
    return WrongExample(
        example_id=str(record.get("id", "")),
        texts=plain_texts(record, (key, "score")),
        reference="\n\n".join(shown),
        predicted=shorten(str(record[key])),
        weight=(),
        remark=f"score {record['score']:.4g}" if _is_number(record.get("score")) else "",
    )


def random_texts(records: Sequence[Record], key: str, prompt_of: Callable[[Record], str], seed: int) -> WrongExamples:
    """Return generated texts beside the true ones, drawn at random with a seed.

    `key` is the key of the generated text, None for a row without one; `gold` is the true text. Of several `samples`, all are
    shown.
    """
    continued = [record for record in records if record.get(key) is not None]
    drawn = draw(continued, GENERATED_LIMIT, seed)
    examples = [
        WrongExample(
            example_id=str(record.get("id", "")),
            texts=(("prompt", (Piece(shorten(prompt_of(record))),)),),
            reference=shorten(str(record["gold"])),
            predicted="\n\n".join(map(shorten, record.get("samples") or [record[key]])),
            weight=(),
            remark="",
        )
        for record in drawn
    ]
    summary = (
        f"{len(examples):,} of {len(continued):,} continued prompts, drawn at random with the seed {seed}; not selected "
        "by quality. The true continuation is beside the generated one."
    )
    return WrongExamples("Samples", summary, examples, side_by_side=True)


def hardest_documents(records: Sequence[Record]) -> WrongExamples:
    """Return the documents with the highest perplexity. Documents without a perplexity are skipped."""
    scored = [record for record in records if _is_number(record.get("perplexity"))]
    hardest = heapq.nlargest(LIMIT, scored, key=lambda record: float(record["perplexity"]))
    summary = f"The {len(hardest):,} of {len(records):,} documents with the highest perplexity."
    return WrongExamples("Hardest documents", summary, [_document(record) for record in hardest])


def _document(record: Record) -> WrongExample:
    perplexity = float(record["perplexity"])
    remarks = [f"perplexity {perplexity:,.4g}" if perplexity < 1e4 else f"perplexity {perplexity:,.0f}"]
    remarks += [f"{record[name]:,.0f} {name}" for name in ("tokens", "bytes") if _is_number(record.get(name))]
    texts = plain_texts(record, ("nll", "tokens", "bytes", "perplexity"))
    return WrongExample(str(record.get("id", "")), texts, None, None, (perplexity,), " · ".join(remarks))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
