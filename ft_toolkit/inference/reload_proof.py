"""The reload proof: a fresh process loads the saved model and must predict what the run predicted."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import ReloadError
from ft_toolkit.core.fresh_process import FreshProcess
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.columns import columns_of
from ft_toolkit.tasks.base import Rows, Task, without_answers
from ft_toolkit.training.prepare import Prepared

# Rows that a fresh process predicts again to prove the saved model (generating a text is slow), and how far a number may
# differ, relative where it exceeds 1.
PROOF_ROWS, PROOF_ROWS_GENERATED = 256, 32
PROOF_TOLERANCE = {"no": 1e-4, "bf16": 3e-2}
# In reduced precision, or with an adapter folded into the weights, a near tie may fall the other way: this share of rows
# may then have another text, label or span. Else none may.
PROOF_OTHER_ANSWERS = 0.05


def rows_to_prove(prepared: Prepared) -> Rows:
    """Return rows of the split to prove, evenly spread, as somebody who wants predictions would give them."""
    rows, task = prepared.data.splits[_split(prepared)], prepared.task
    limit = PROOF_ROWS if task.generate is None else PROOF_ROWS_GENERATED
    return [without_answers(rows[i], task) for i in range(0, len(rows), -(-len(rows) // limit))]


def _split(prepared: Prepared) -> SplitName:
    return "test" if "test" in prepared.data.splits else "validation"


def prove_reload(
    process: FreshProcess, model_folder: Path, prepared: Prepared, asked: Rows, expected: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Predict rows with `ftk predict` in a fresh, offline process and compare with `expected`.

    That is what the run itself predicts for just these rows, so that batches are alike, with the model as it was
    evaluated: before an adapter was folded in. Raises ReloadError.
    """
    started = time.perf_counter()
    found = _predict_afresh(process, model_folder, asked, prepared.task)
    difference, others = 0.0, 0
    for ours, theirs in zip(expected, found, strict=True):
        gap = _difference(ours, {key: value for key, value in theirs.items() if key != "id"})
        others += gap is None
        difference = max(difference, gap or 0.0)
    exact = prepared.recipe.training.mixed_precision == "no" and not getattr(prepared.recipe.method, "merge", False)
    tolerance = PROOF_TOLERANCE[prepared.recipe.training.mixed_precision]
    if difference > tolerance or others > (0 if exact else PROOF_OTHER_ANSWERS * len(asked)):
        raise ReloadError(
            f"a fresh process predicts otherwise with {model_folder}: a score differs by {difference:.2g} (allowed "
            f"{tolerance:g}), {others} of {len(asked)} rows have another answer. The run is kept for inspection; its model "
            "is not proven"
        )
    return {
        "split": _split(prepared),
        "rows": len(found),
        "largest_difference": difference,
        "other_answers": others,
        "tolerance": tolerance,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _predict_afresh(process: FreshProcess, model_folder: Path, rows: Rows, task: Task) -> list[dict[str, Any]]:
    """Return what `ftk predict` says to rows there."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "rows.jsonl", Path(scratch) / "predictions.jsonl"
        asked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        # the rows have the task's names, which may also be names that the run gave to other columns
        stated = [
            word for column in columns_of(rows) if column in task.columns for word in ("--column", f"{column}={column}")
        ]
        process.run("predict", str(model_folder), "--input", str(asked), "--output", str(answered), *stated)
        return [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]


def _difference(ours: Any, theirs: Any) -> float | None:
    """Return the largest difference of two predictions' numbers, relative above 1; None where anything else differs."""
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) / max(1.0, abs(ours))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and ours.keys() == theirs.keys():
        gaps = [_difference(value, theirs[key]) for key, value in ours.items()]
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        gaps = [_difference(one, other) for one, other in zip(ours, theirs, strict=True)]
    else:
        return 0.0 if ours == theirs else None
    known = [gap for gap in gaps if gap is not None]
    return None if len(known) < len(gaps) else max(known, default=0.0)
