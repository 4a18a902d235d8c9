"""Check the conditions of `ftk gate` on a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import MODEL
from ft_toolkit.core.run_records import EvaluationResults, ReloadCheck, RunResults
from ft_toolkit.evaluation.compare.example_slices import slice_examples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, base_model_of, model_megabytes
from ft_toolkit.evaluation.compare.gate_checks import Bound, Check, Drop, check_bound, check_drop, resolve_bound
from ft_toolkit.metrics.clusters import describe


@dataclass(frozen=True)
class Conditions:
    """The conditions on a run.

    The `bounds` must also hold on every value of `slice_columns` that has at least `min_slice_rows` rows. `max_seconds` limits
    the training time and `max_size_mb` the size of the model folder. Scores of a smoke run fail without `allow_smoke`.
    """

    bounds: Sequence[Bound] = ()
    drop: Drop | None = None
    slice_columns: Sequence[str] = ()
    min_slice_rows: int = 20
    max_seconds: float | None = None
    max_size_mb: float | None = None
    allow_smoke: bool = False


@dataclass(frozen=True)
class Gate:
    """All checks of a run. `notes` say what was not checked and which metric a short name meant."""

    run: str
    folder: Path
    split: str
    n: int
    checks: list[Check]
    notes: list[str]

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def as_json(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            "split": self.split,
            "n": self.n,
            "passed": not self.failed,
            "checks": [
                {"name": check.name, "passed": check.passed, "text": check.text, **check.figures}
                for check in self.checks
            ],
            "notes": self.notes,
        }


def check_run(run: FinishedRun, conditions: Conditions) -> Gate:
    """Check every condition, and the reload check of the run. Raises UsageError for a condition that cannot be checked."""
    smoke = run.results.is_smoke and not conditions.allow_smoke
    everything = np.arange(len(run.examples.records))
    notes = _notes(run)
    bounds = []
    for condition in conditions.bounds:
        bound, more = resolve_bound(condition, run)
        bounds.append(bound)
        notes += more
    reload_check = run.results.reload_proof if isinstance(run.results, RunResults) else None
    checks = [] if reload_check is None else [_check_reload(reload_check)]
    checks += [check_bound(bound, run, everything, "", smoke=smoke) for bound in bounds]
    slices, skipped = _slices(run, conditions)
    notes += skipped
    checks += [check_bound(bound, run, at, suffix, smoke=smoke) for bound in bounds for suffix, at in slices.items()]
    if conditions.drop is not None:
        check, more = check_drop(conditions.drop, run, smoke=smoke)
        checks.append(check)
        notes += more
    if conditions.max_seconds is not None:
        checks.append(_check_seconds(run, conditions.max_seconds))
    if conditions.max_size_mb is not None:
        checks.append(_check_size(run, conditions.max_size_mb))
    return Gate(run.results.name, run.path, run.examples.split, len(everything), checks, notes)


def _slices(run: FinishedRun, conditions: Conditions) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the positions of the examples of each slice, by the end of the name of its checks, and notes on small slices."""
    slices, notes = {}, []
    for column in conditions.slice_columns:
        small = []
        for value, positions in slice_examples(run.examples.records, column, run.examples.task).items():
            if len(positions) < conditions.min_slice_rows:
                small.append(f"{value} ({len(positions)})")
            else:
                slices[f" where {column} = {value}"] = positions
        if small:
            minimum = conditions.min_slice_rows
            notes.append(f"{column}: values with fewer than {minimum} rows are not checked: {', '.join(small)}")
    return slices, notes


def _notes(run: FinishedRun) -> list[str]:
    notes = []
    if run.results.is_smoke:
        notes.append("a smoke run: its scores mean nothing; the reload check, the training time and the size are valid")
    if run.seeds is not None:
        notes.append(f"the best of {len(run.seeds.seeds)} seeds on validation is checked: seed {run.seeds.best.seed}")
    if (clusters := run.examples.clusters) is not None:
        notes.append(describe(clusters.column, clusters.n))
    if isinstance(run.results, EvaluationResults):
        notes.append("an evaluation of a saved model has no reload check")
    return notes


def _check_reload(result: ReloadCheck) -> Check:
    text = f"{result.rows:,} rows, largest difference {result.largest_difference:.1g}"
    passed = result.largest_difference <= result.tolerance
    return Check("reload check: a fresh process gives the same predictions", passed, text, {})


def _check_seconds(run: FinishedRun, limit: float) -> Check:
    if isinstance(run.results, EvaluationResults):
        raise UsageError(f"--max-seconds: {run.path} is an evaluation, which has no training time")
    seconds = run.seeds.seconds if run.seeds is not None else run.results.training.seconds
    return _check_limit("training time", seconds, limit, "s")


def _check_size(run: FinishedRun, limit: float) -> Check:
    megabytes = model_megabytes(run)
    if megabytes is None:
        raise UsageError(f"--max-size-mb: {run.examples.folder / MODEL} does not exist, so its size cannot be checked")
    base = base_model_of(run)
    return _check_limit("model folder", megabytes, limit, "MB", f", without its base model {base}" if base else "")


def _check_limit(name: str, value: float, limit: float, unit: str, note: str = "") -> Check:
    figures = {"value": value, "bound": limit}
    return Check(f"{name} <= {limit:g} {unit}", value <= limit, f"{value:,.1f} {unit}{note}", figures)
