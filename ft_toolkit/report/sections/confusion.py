"""The confusion matrix; with many labels a grid without names and the most frequent confusions."""

from typing import Any

from ft_toolkit.report.charts import confusion_grid
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split

# With more labels than this, the matrix is a grid without names.
_MAX_NAMED_LABELS = 20
_MAX_PAIRS = 15


def _build(run: RunFiles, split: str) -> dict[str, Any] | None:
    labels, matrix = run.labels, run.results.scores[split].confusion_matrix
    if not matrix or len(matrix) != len(labels):
        return None
    totals = [sum(row) for row in matrix]
    if len(labels) <= _MAX_NAMED_LABELS:
        shares = [
            [(value, value / total if total else 0.0) for value in row]
            for row, total in zip(matrix, totals, strict=True)
        ]
        return {"labels": labels, "rows": list(zip(labels, shares, strict=True)), "grid": None}
    pairs = [(row[j], i, j) for i, row in enumerate(matrix) for j in range(len(labels)) if i != j and row[j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    text = f"Confusion matrix of {len(labels)} labels; {len(pairs)} pairs of labels were confused."
    return {
        "grid": confusion_grid(matrix, labels, label=text),
        "most_frequent": [(labels[i], labels[j], value, value / totals[i]) for value, i, j in pairs[:_MAX_PAIRS]],
        "n_pairs": len(pairs),
        "n_labels": len(labels),
    }


SECTION = Section(order=45, title="Confusion matrix", build=per_split(_build))
