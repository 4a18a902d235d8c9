"""Count what can distort a score: empty, repeated, leaked and truncated texts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks.base import Features, Row, Task, input_texts


def audit(data: LoadedData, features: Mapping[SplitName, Features], task: Task, max_length: int) -> dict[str, Any]:
    """Return {"splits": {split: counts}, "warnings": [sentence, ...]}.

    The counts are: rows, empty and repeated texts, texts that are also in the training rows (None if these are not
    loaded), tokens, the longest text in tokens, truncated rows and tokens, and answers outside the model's input. The
    warnings are the notes of `data` and a sentence for each count that distorts a score.
    """
    training_texts = {_texts(row, task) for row in data.splits.get("train", ())}
    report: dict[str, Any] = {"splits": {}, "warnings": list(data.notes)}
    for name, rows in data.splits.items():
        repeats = Counter(_texts(row, task) for row in rows)
        encoded = features[name]
        lengths, cut = encoded.lengths, encoded.n_tokens_cut
        also_in_training = 0 if name == "train" else sum(_texts(row, task) in training_texts for row in rows)
        counts: dict[str, Any] = {
            "rows": len(rows),
            "empty_texts": sum(not any(text.strip() for text in _texts(row, task)) for row in rows),
            "repeated_texts": len(rows) - len(repeats),
            "also_in_training": also_in_training if "train" in data.splits else None,
            "tokens": sum(lengths),
            "longest": max(lengths),
            "rows_cut": sum(n > 0 for n in cut),
            "tokens_cut": sum(cut),
            **{f"{answers}_cut": sum(numbers) for answers, numbers in encoded.answers_cut.items()},
        }
        report["splits"][name] = counts
        report["warnings"] += _warnings(name, counts, list(encoded.answers_cut), max_length, task.effect_of_cut_answers)
    return report


def _warnings(
    split: SplitName, counts: Mapping[str, Any], answers: list[str], max_length: int, effect: str
) -> list[str]:
    """Return one sentence per count of a split that distorts its score."""
    rows = counts["rows"]
    warnings = []
    if counts["also_in_training"]:
        warnings.append(
            f"{split}: {counts['also_in_training']} of {rows} texts are also in the training rows, so the score is optimistic"
        )
    if counts["rows_cut"]:
        warnings.append(
            f"{split}: {counts['rows_cut']} of {rows} texts are longer than max_length={max_length}; "
            f"{counts['tokens_cut']} of {counts['tokens'] + counts['tokens_cut']} tokens are truncated"
        )
    for name in answers:
        if counts[f"{name}_cut"]:
            warnings.append(f"{split}: {counts[f'{name}_cut']} {name} are outside the model's input; {effect}")
    if counts["empty_texts"]:
        warnings.append(f"{split}: {counts['empty_texts']} of {rows} texts are empty")
    return warnings


def _texts(row: Row, task: Task) -> tuple[str, ...]:
    return tuple(input_texts(row, task))
