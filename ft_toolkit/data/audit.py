"""Count what can distort a score: empty, repeated, leaked and truncated texts."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.faults.fault import AuditedRows, fault_counts
from ft_toolkit.data.faults.find_faults import MOST_CHARACTERS, find_quick_faults
from ft_toolkit.data.faults.warnings import empty_warning, leak_warning
from ft_toolkit.data.groups import SHARED_SHARE
from ft_toolkit.data.seen_rows import SeenRows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.metrics.clusters import FEW_CLUSTERS
from ft_toolkit.tasks.base import Features, Task, TaskSettings, input_texts


def audit(
    data: LoadedData,
    features: Mapping[SplitName, Features],
    task: Task,
    settings: TaskSettings,
    max_length: int,
    seen: SeenRows | None = None,
) -> dict[str, Any]:
    """Return {"splits": {split: counts}, "warnings": [sentence, ...], "faults": [...], "searched_texts": n}.

    The counts are: rows, empty and repeated texts, texts that are also in the training rows (None if these are not loaded),
    tokens, the longest text in tokens, truncated rows and tokens, and answers outside the model's input. The warnings are the
    notes of `data` and a sentence for each count that distorts a score. The faults are the kinds that are found in seconds.
    `seen` are the training rows of a finished model; None uses the training rows of `data`.
    """
    audited = AuditedRows(data, task, settings, MOST_CHARACTERS)
    faults = find_quick_faults(audited)
    if seen is None and "train" in data.splits:
        seen = SeenRows(np.unique(audited.keys_of("train")))
    report: dict[str, Any] = {"splits": {}, "warnings": list(data.notes)}
    for name, rows in data.splits.items():
        encoded = features[name]
        lengths, cut = encoded.lengths, encoded.n_tokens_cut
        counts: dict[str, Any] = {
            "rows": len(rows),
            "empty_texts": audited.n_rows(faults, "empty", name),
            "repeated_texts": audited.n_repeated(name),
            "also_in_training": None if seen is None else 0 if name == "train" else seen.count(audited.keys_of(name)),
            "tokens": sum(lengths),
            "longest": max(lengths),
            "rows_cut": sum(n > 0 for n in cut),
            "tokens_cut": sum(cut),
            **{f"{answers}_cut": sum(numbers) for answers, numbers in encoded.answers_cut.items()},
        }
        report["splits"][name] = counts
        report["warnings"] += _dependence_warnings(name, data, task)
        report["warnings"] += _overlap_warnings(name, counts, data, is_estimate=seen is not None and seen.is_sample)
        report["warnings"] += _warnings(name, counts, list(encoded.answers_cut), max_length, task.effect_of_cut_answers)
    report["faults"] = [fault.as_json() for fault in fault_counts(faults, audited)]
    report["searched_texts"] = len(audited.checked)
    return report


def _dependence_warnings(split: SplitName, data: LoadedData, task: Task) -> list[str]:
    """Return sentences on the evaluated rows of a split that are not independent: few groups, or inputs that rows share."""
    rows = data.splits[split]
    if split == "train":
        return []
    if split in data.groups:
        clusters = data.clusters(split)
        if clusters is None:
            return []
        few = clusters.n < FEW_CLUSTERS
        return [
            f"{split}: only {clusters.n} groups by '{clusters.column}', so the intervals are wide and approximate"
        ] * few
    warnings = []
    for name, column in task.columns.items():
        if column.is_answer or any(name not in row for row in rows):
            continue
        # Rows with equal inputs are repeated texts, not several rows on one text.
        distinct = {(_digest(str(row[name])), _digest("\0".join(input_texts(row, task)))) for row in rows}
        counts = Counter(value for value, _ in distinct)
        n_shared = sum(counts[value] > 1 for value, _ in distinct)
        if n_shared > SHARED_SHARE * len(rows):
            warnings.append(
                f"{split}: {n_shared} of {len(rows)} rows share their '{name}' with another row, so they are not independent "
                f"and the intervals are too narrow; set data.group={name}"
            )
    return warnings


def _overlap_warnings(split: SplitName, counts: Mapping[str, Any], data: LoadedData, *, is_estimate: bool) -> list[str]:
    """Return sentences on rows, and on groups of rows, that are also in the training rows."""
    n, rows = counts["also_in_training"], counts["rows"]
    warnings = []
    if n and "train" in data.splits:
        warnings.append(leak_warning(split, n, rows))
    elif n:
        about = "about " if is_estimate else ""
        warnings.append(
            f"{split}: the model was trained on {about}{n} of these {rows} texts ({n / rows:.0%}), so the score says little "
            "about new texts. Evaluate on rows that are not in the training file"
        )
    train, groups = data.groups.get("train"), data.groups.get(split)
    if split != "train" and train is not None and groups is not None and train.column == groups.column:
        trained = set(train.of(data.splits["train"]))
        n_shared = sum(group in trained for group in groups.of(data.splits[split]))
        if n_shared:
            warnings.append(
                f"{split}: {n_shared} of {rows} rows have the same '{groups.column}' as training rows, so the score is "
                f"optimistic for rows with a new '{groups.column}'"
            )
    return warnings


def _warnings(
    split: SplitName, counts: Mapping[str, Any], answers: list[str], max_length: int, effect: str
) -> list[str]:
    """Return one sentence per count of a split that distorts its score."""
    rows = counts["rows"]
    warnings = []
    if counts["rows_cut"]:
        warnings.append(
            f"{split}: {counts['rows_cut']} of {rows} texts are longer than max_length={max_length}; "
            f"{counts['tokens_cut']} of {counts['tokens'] + counts['tokens_cut']} tokens are truncated"
        )
    for name in answers:
        if counts[f"{name}_cut"]:
            warnings.append(f"{split}: {counts[f'{name}_cut']} {name} are outside the model's input; {effect}")
    if counts["empty_texts"]:
        warnings.append(empty_warning(split, counts["empty_texts"], rows))
    return warnings


def _digest(text: str) -> bytes:
    """Return a short hash of a text, because the texts of all rows may not fit into memory."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
