"""Generated texts beside their references, and the documents that a language model finds hardest."""

import heapq
import math
from collections.abc import Sequence
from typing import Any

from ft_toolkit.report.mistakes.marks import LIMIT, Mistake, Mistakes, plain_texts, shorten

# Generated texts take more room on the page than labels.
_LIMIT = 10
_MAX_REFERENCES = 3


def texts_beside(rows: Sequence[dict[str, Any]], key: str) -> Mistakes:
    """Return outputs beside their references: the worst by the record's score, or without one a spread over the rows."""
    scored = [row for row in rows if _is_number(row.get("score"))]
    if len(scored) == len(rows):
        chosen = heapq.nsmallest(_LIMIT, rows, key=lambda row: float(row["score"]))
        heading, said = (
            "Lowest-scoring examples",
            f"The {len(chosen):,} lowest of {len(rows):,} scores of single examples.",
        )
    else:
        step = max(len(rows) / _LIMIT, 1.0)
        chosen = [rows[int(i * step)] for i in range(min(_LIMIT, len(rows)))]
        heading = "Examples"
        said = f"{len(chosen):,} of {len(rows):,} examples, spread evenly over the rows; not chosen by quality."
    return Mistakes(heading, said, [_beside(row, key) for row in chosen], beside=True)


def _beside(row: dict[str, Any], key: str) -> Mistake:
    golds = row["gold"] if isinstance(row["gold"], list) else [row["gold"]]
    shown = [shorten(str(one)) for one in golds[:_MAX_REFERENCES]]
    if len(golds) > _MAX_REFERENCES:
        shown.append(f"(and {len(golds) - _MAX_REFERENCES} more)")
    return Mistake(
        example_id=str(row.get("id", "")),
        texts=plain_texts(row, (key, "score")),
        gold="\n\n".join(shown),
        predicted=shorten(str(row[key])),
        weight=(),
        remark=f"score {row['score']:.4g}" if _is_number(row.get("score")) else "",
    )


def hardest_documents(rows: Sequence[dict[str, Any]]) -> Mistakes:
    """Return the documents with the highest perplexity."""
    known = [row for row in rows if _is_number(row.get("perplexity"))]
    worst = heapq.nlargest(LIMIT, known, key=lambda row: float(row["perplexity"]))
    said = f"The {len(worst):,} of {len(rows):,} documents with the highest perplexity."
    return Mistakes("Hardest documents", said, [_hard(row) for row in worst])


def _hard(row: dict[str, Any]) -> Mistake:
    facts = [
        f"perplexity {row['perplexity']:,.4g}" if row["perplexity"] < 1e4 else f"perplexity {row['perplexity']:,.0f}"
    ]
    facts += [f"{row[name]:,.0f} {name}" for name in ("tokens", "bytes") if _is_number(row.get(name))]
    texts = plain_texts(row, ("nll", "tokens", "bytes", "perplexity"))
    weight = (float(row["perplexity"]),)
    return Mistake(str(row.get("id", "")), texts, None, None, weight, " · ".join(facts))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
