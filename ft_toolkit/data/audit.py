"""Facts about the rows that a person should know before trusting a score."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.load import LoadedData
from ft_toolkit.tasks.base import Features, Row, Task, input_texts


def audit(data: LoadedData, features: Mapping[SplitName, Features], task: Task, max_length: int) -> dict[str, Any]:
    """Return per split: rows, empty texts, repeated texts, texts that also stand in training, tokens, and what is cut.

    Also the answers that the model cannot see, as the task names them. `warnings` puts into words what would distort a score.
    """
    seen_in_training = {_text(row, task) for row in data.splits.get("train", ())}
    facts: dict[str, Any] = {"splits": {}, "warnings": list(data.notes)}
    for name, rows in data.splits.items():
        counts = Counter(_text(row, task) for row in rows)
        encoded = features[name]
        lengths, cut = encoded.lengths, encoded.n_tokens_cut
        also_in_training = 0 if name == "train" else sum(_text(row, task) in seen_in_training for row in rows)
        found: dict[str, Any] = {
            "rows": len(rows),
            "empty_texts": sum(not any(text.strip() for text in _text(row, task)) for row in rows),
            "repeated_texts": len(rows) - len(counts),
            # unknown where the training rows are not at hand
            "also_in_training": also_in_training if "train" in data.splits else None,
            "tokens": sum(lengths),
            "longest": max(lengths),
            "rows_cut": sum(n > 0 for n in cut),
            "tokens_cut": sum(cut),
            **{f"{what}_cut": sum(counts) for what, counts in encoded.answers_cut.items()},
        }
        facts["splits"][name] = found
        if found["also_in_training"]:
            facts["warnings"].append(
                f"{name}: {found['also_in_training']} of {len(rows)} texts also stand in the training rows; the score flatters"
            )
        if found["rows_cut"]:
            facts["warnings"].append(
                f"{name}: {found['rows_cut']} of {len(rows)} texts are longer than max_length={max_length}; "
                f"{found['tokens_cut']} of {found['tokens'] + found['tokens_cut']} tokens are cut off"
            )
        for what in encoded.answers_cut:
            if found[f"{what}_cut"]:
                loss = "the model does not learn them" if what.endswith("tokens") else "each counts as a miss"
                facts["warnings"].append(
                    f"{name}: {found[f'{what}_cut']} {what} lie outside what the model sees; {loss}"
                )
        if found["empty_texts"]:
            facts["warnings"].append(f"{name}: {found['empty_texts']} of {len(rows)} texts are empty")
    return facts


def _text(row: Row, task: Task) -> tuple[str, ...]:
    return tuple(input_texts(row, task))
