"""The reload check: a fresh process loads the saved model and must reproduce the predictions of the run."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import ReloadError
from ft_toolkit.core.fresh_process import FreshProcess
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.run_records import ReloadCheck
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.columns import columns_of
from ft_toolkit.tasks.base import Rows, Task, without_answers
from ft_toolkit.training.prepare import Prepared

# Rows that the fresh process predicts; fewer where texts are generated, which is slow.
CHECKED_ROWS, CHECKED_ROWS_GENERATED = 256, 32
# Largest allowed difference between two numbers, by precision; relative for numbers above 1.
TOLERANCE = {"no": 1e-4, "bf16": 3e-2}
# In bf16, or after an adapter was merged, rounding may change the answer where two answers have almost the same score.
# This share of the rows may have another text, label or span. In all other cases, no row may.
OTHER_ANSWERS = 0.05


def rows_to_check(prepared: Prepared) -> Rows:
    """Return evenly spaced rows of the test split, or of validation if there is none, without their answers."""
    rows, task = prepared.data.splits[_checked_split(prepared)], prepared.task
    limit = CHECKED_ROWS if task.generate is None else CHECKED_ROWS_GENERATED
    return [without_answers(rows[i], task) for i in range(0, len(rows), -(-len(rows) // limit))]


def _checked_split(prepared: Prepared) -> SplitName:
    return "test" if "test" in prepared.data.splits else "validation"


def time_limit(seconds: float) -> float:
    """Return the seconds that a fresh process may take for predictions that took `seconds` in the run.

    It also loads the libraries and the model: 5 s on an idle machine, two minutes on one with ten times as many processes as
    cores.
    """
    return 600 + 20 * seconds


def check_reload(
    process: FreshProcess,
    model_folder: Path,
    prepared: Prepared,
    rows: Rows,
    expected: Sequence[dict[str, Any]],
    limit: float,
) -> ReloadCheck:
    """Predict `rows` with `ftk predict` in a fresh, offline process and compare the predictions with `expected`.

    `expected` are the predictions of the run for exactly these rows, so that the batches are equal, by the model as it was
    evaluated, before an adapter was merged. `limit` is the time limit in seconds. Raises ReloadError.
    """
    started = time.perf_counter()
    predictions = _predict(process, model_folder, rows, prepared.task, limit)
    differences = [
        _largest_difference(ours, {key: value for key, value in theirs.items() if key != "id"})
        for ours, theirs in zip(expected, predictions, strict=True)
    ]
    largest = max((difference for difference in differences if difference is not None), default=0.0)
    other_answers = differences.count(None)
    precision = prepared.recipe.training.mixed_precision
    is_exact = precision == "no" and not getattr(prepared.recipe.method, "merge", False)
    tolerance = TOLERANCE[precision]
    if largest > tolerance or other_answers > (0 if is_exact else OTHER_ANSWERS * len(rows)):
        raise ReloadError(
            f"reload check failed: a fresh process that loads {model_folder} does not reproduce the predictions of the run. "
            f"Largest difference of a score {largest:.2g} (allowed {tolerance:g}); {other_answers} of {len(rows)} rows have "
            "a different answer. The run folder is kept for inspection; do not use its model"
        )
    return ReloadCheck(
        split=_checked_split(prepared),
        rows=len(predictions),
        largest_difference=largest,
        other_answers=other_answers,
        tolerance=tolerance,
        seconds=round(time.perf_counter() - started, 2),
    )


def _predict(process: FreshProcess, model_folder: Path, rows: Rows, task: Task, limit: float) -> list[dict[str, Any]]:
    """Return the predictions of `ftk predict` in the process. Raises ReloadError after the time limit."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "rows.jsonl", Path(scratch) / "predictions.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        # the rows have the column names of the task, which the run may have used for other columns of its data
        columns = [name for name in columns_of(rows) if name in task.columns]
        options = [word for name in columns for word in ("--column", f"{name}={name}")]
        words = ["predict", str(model_folder), "--input", str(source), "--output", str(target), *options]
        process.run(*words, limit=limit)
        return read_objects(target)


def _largest_difference(ours: Any, theirs: Any) -> float | None:
    """Return the largest difference between the numbers of two predictions; None if any other value differs.

    The difference is relative for numbers above 1.
    """
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) / max(1.0, abs(ours))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and ours.keys() == theirs.keys():
        differences = [_largest_difference(value, theirs[key]) for key, value in ours.items()]
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        differences = [_largest_difference(left, right) for left, right in zip(ours, theirs, strict=True)]
    else:
        return 0.0 if ours == theirs else None
    defined = [difference for difference in differences if difference is not None]
    return None if len(defined) < len(differences) else max(defined, default=0.0)
