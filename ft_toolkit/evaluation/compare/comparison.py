"""`ftk compare`: two or more runs on the same examples, what differs, and whether the difference is shown."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.compare.example_slices import MIN_ROWS, slice_examples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, check_comparable, choose_metric, common_metrics
from ft_toolkit.evaluation.statistics.scores import finite, interval, score_interval
from ft_toolkit.evaluation.statistics.significance import (
    LEVEL,
    Outcome,
    bootstrap_p,
    holm,
    judge,
    mcnemar,
    smallest_detectable_difference,
)

SAMPLES = 2000
SEED = 13
# Of so many examples where a run differs from the base, half are the run's best, half its worst.
SHOWN_EXAMPLES = 20
# Metric(s) of a run on the examples at some positions, shape (k,).
Score = Callable[[FinishedRun, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """A run's score minus the base's: 95% interval, p by `test` before and after Holm's correction within its table.

    `detectable` is the difference that these examples would show between such a pair (level 0.05, power 0.8).
    """

    value: float | None
    low: float | None
    high: float | None
    test: str
    p: float | None
    corrected: float | None
    outcome: Outcome
    detectable: float | None


@dataclass(frozen=True)
class Line:
    """One score of all runs: a metric, a class or a slice with its `n`; each differing run has its difference."""

    name: str
    n: int
    greater_is_better: bool
    scores: dict[str, dict[str, float | None]]
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Disagreement:
    """How a run and the base differ example by example, judged by `metric` on each.

    `better` and `worse` count the examples where the run's value is the better or worse one; `both` and `neither` those that
    both or neither have right, None where the metric knows more than right and wrong.
    `examples` holds (position, base's value, run's value), the run's greatest gains first.
    """

    metric: str
    better: int
    worse: int
    both: int | None
    neither: int | None
    examples: list[tuple[int, float, float]]


@dataclass(frozen=True)
class Comparison:
    """Everything the page, the console and the JSON say. `slices` has a list of lines per column, `notes` what to mind."""

    runs: list[FinishedRun]
    metric: str
    main: Line
    metrics: list[Line]
    classes: list[Line]
    slices: dict[str, list[Line]]
    skipped: dict[str, list[str]]
    disagreements: dict[str, Disagreement]
    notes: list[str]

    @property
    def base(self) -> FinishedRun:
        """The run that the others are held against."""
        return self.runs[0]

    def as_json(self) -> dict[str, Any]:
        """Return what stands in the JSON file."""
        found = self.base.examples
        return {
            "task": found.task.name,
            "split": found.split,
            "n": len(found.records),
            "fingerprint": found.fingerprint,
            "metric": self.metric,
            "greater_is_better": self.main.greater_is_better,
            "base": self.base.label,
            "level": LEVEL,
            "resamples": SAMPLES,
            "runs": [
                {"label": run.label, "folder": str(run.given), "examples_of": str(run.examples.folder)}
                | {"name": run.examples.run, "model": run.results["model"], "method": run.results["method"]}
                | {"smoke": bool(run.results["substitutions"]), "seeds": seed_spread(run, self.metric)}
                for run in self.runs
            ],
            "main": asdict(self.main),
            "metrics": [asdict(line) for line in self.metrics],
            "classes": [asdict(line) for line in self.classes],
            "slices": {column: [asdict(line) for line in lines] for column, lines in self.slices.items()},
            "slices_skipped": self.skipped,
            "disagreements": {
                label: asdict(one)
                | {"examples": [{"id": found.records[i]["id"], "base": a, "run": b} for i, a, b in one.examples]}
                for label, one in self.disagreements.items()
            },
            "notes": self.notes,
        }


def compare_runs(runs: Sequence[FinishedRun], *, metric: str | None, columns: Sequence[str]) -> Comparison:
    """Hold every run against the first on the same examples. Raises UsageError."""
    if len(runs) < 2:
        raise UsageError(f"one run was named ({runs[0].given}); name at least two")
    check_comparable(runs)
    chosen = choose_metric(metric, runs)
    names, notes = common_metrics(runs)
    base = runs[0].examples
    everything = np.arange(len(base.records))
    main = _lines([chosen], _metrics([chosen]), runs, everything)
    slices, skipped = {}, {}
    for column in columns:
        source = next((run.examples.records for run in runs if column in run.examples.records[0]), base.records)
        groups = slice_examples(source, column, base.task)
        skipped[column] = [value for value, inside in groups.items() if len(inside) < MIN_ROWS]
        kept = {value: inside for value, inside in groups.items() if len(inside) >= MIN_ROWS}
        lines = [_lines([chosen], _metrics([chosen]), runs, inside, value)[0] for value, inside in kept.items()]
        slices[column] = _corrected(lines)
    return Comparison(
        runs=list(runs),
        metric=chosen,
        main=_corrected(main)[0],
        metrics=_corrected(_lines(names, _metrics(names), runs, everything)),
        classes=_corrected(_classes(runs)),
        slices=slices,
        skipped=skipped,
        disagreements={run.label: _disagreement(runs[0], run, chosen) for run in runs[1:]},
        notes=[*notes, *_notes(runs)],
    )


def seed_spread(run: FinishedRun, metric: str) -> dict[str, Any] | None:
    """Return mean, sd, minimum, maximum and n of a run over several seeds, None for a single run."""
    if run.seeds is None:
        return None
    found = run.seeds["scores"][run.examples.split]["metrics"][metric]
    return {key: found[key] for key in ("mean", "sd", "min", "max", "n")}


def _notes(runs: Sequence[FinishedRun]) -> list[str]:
    notes = []
    if smoke := [run.label for run in runs if run.results["substitutions"]]:
        notes.append(f"Smoke runs, whose scores mean nothing: {', '.join(smoke)}.")
    if several := [run for run in runs if run.seeds is not None]:
        said = ", ".join(f"seed {run.seeds['best']['seed']} of {run.label}" for run in several if run.seeds)
        notes.append(
            f"Of runs over several seeds the best on validation is compared ({said}); the tests say nothing of other seeds."
        )
    if runs[0].examples.split == "validation":
        notes.append("These are the validation rows that picked the checkpoints, which flatters every run.")
    return notes


def _metrics(names: Sequence[str]) -> Score:
    def score(run: FinishedRun, at: np.ndarray) -> np.ndarray:
        found = run.examples
        return np.array([found.metrics[name].fn(found.predictions[at], found.references[at]) for name in names])

    return score


def _classes(runs: Sequence[FinishedRun]) -> list[Line]:
    """Return the F1 of each class that all runs know; none for a task without classes."""
    found = [run.examples for run in runs]
    tables = [one.task.details(one.predictions, one.references, one.schema).get("per_class") or [] for one in found]
    if not all(table and "f1" in table[0] for table in tables):
        return []
    labels = [row["label"] for row in tables[0] if all(row["label"] in {r["label"] for r in t} for t in tables)]

    def score(run: FinishedRun, at: np.ndarray) -> np.ndarray:
        one = run.examples
        table = one.task.details(one.predictions[at], one.references[at], one.schema)["per_class"]
        f1 = {row["label"]: row["f1"] for row in table}
        return np.array([f1[label] for label in labels])

    support = {row["label"]: row["support"] for row in tables[0]}
    lines = _lines(labels, score, runs, np.arange(len(found[0].records)), greater_is_better=True)
    return [Line(str(one.name), support[one.name], True, one.scores, one.differences) for one in lines]


def _lines(
    names: Sequence[str],
    score: Score,
    runs: Sequence[FinishedRun],
    inside: np.ndarray,
    called: str | None = None,
    *,
    greater_is_better: bool | None = None,
) -> list[Line]:
    """Return a line per name, scored on the examples `inside`; all runs see the same resamples. p is not yet corrected."""
    values = {run.label: score(run, inside) for run in runs}
    rng = np.random.default_rng(SEED)
    # a table of many lines needs a p small enough to stand the correction: 2 / resamples is the least there can be
    samples = max(SAMPLES, 50 * len(names) * (len(runs) - 1))
    draws: dict[str, list[np.ndarray]] = {run.label: [] for run in runs}
    for _ in range(samples):
        chosen = inside[rng.integers(0, len(inside), len(inside))]
        for run in runs:
            draws[run.label].append(score(run, chosen))
    resampled = {label: np.array(found) for label, found in draws.items()}
    base, lines = runs[0], []
    for k, name in enumerate(names):
        metric = base.examples.metrics[name] if greater_is_better is None else None
        greater = bool(greater_is_better) if metric is None else metric.greater_is_better
        scores = {
            label: {"value": finite(found[k]), **score_interval(resampled[label][:, k], metric, len(inside))}
            for label, found in values.items()
        }
        differences = {}
        for run in runs[1:]:
            moved = resampled[run.label][:, k] - resampled[base.label][:, k]
            right = [None, None] if greater_is_better else [one.right(name) for one in (base, run)]
            test, p = "paired bootstrap", bootstrap_p(moved)
            if right[0] is not None and right[1] is not None:
                a, b = right[0][inside], right[1][inside]
                test, p = "McNemar's exact test", mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))
            value = finite(values[run.label][k] - values[base.label][k])
            differences[run.label] = Difference(
                value,
                **interval(moved),
                test=test,
                p=p,
                corrected=None,
                outcome="unknown",
                detectable=smallest_detectable_difference(moved),
            )
        lines.append(Line(called if called is not None else name, len(inside), greater, scores, differences))
    return lines


def _corrected(lines: list[Line]) -> list[Line]:
    """Correct the p of all differences of one table together, and judge them."""
    keys = [(i, label) for i, line in enumerate(lines) for label in line.differences]
    corrected = dict(zip(keys, holm([lines[i].differences[label].p for i, label in keys]), strict=True))
    judged = []
    for i, line in enumerate(lines):
        differences = {}
        for label, one in line.differences.items():
            p = corrected[i, label]
            value = float("nan") if one.value is None else one.value
            outcome = judge(value, p, greater_is_better=line.greater_is_better)
            differences[label] = Difference(**{**asdict(one), "corrected": p, "outcome": outcome})
        judged.append(Line(line.name, line.n, line.greater_is_better, line.scores, differences))
    return judged


def _disagreement(base: FinishedRun, run: FinishedRun, metric: str) -> Disagreement:
    """Compare example by example: classified texts by right or wrong, others by the metric, if one example has it."""
    names = [name for name in base.per_example if name in run.per_example]
    is_defined = {name: not np.isnan(base.per_example[name]).all() for name in names}
    wanted = ["accuracy", metric, *names] if base.examples.task.name == "text_classification" else [metric, *names]
    by = next(name for name in wanted if is_defined.get(name, False))
    sign = 1 if base.examples.metrics[by].greater_is_better else -1
    ours, theirs = base.per_example[by], run.per_example[by]
    gain = np.nan_to_num(sign * (theirs - ours), nan=0.0)
    # among equal gains, those where the one that is wrong was surest
    surest = [
        float((base if gain[i] > 0 else run).examples.records[i].get("score") or 0) if "label" in record else 0.0
        for i, record in enumerate(base.examples.records)
    ]
    order = sorted(range(len(gain)), key=lambda i: (-abs(gain[i]), -surest[i], i))
    half = SHOWN_EXAMPLES // 2
    gains, losses = [i for i in order if gain[i] > 0][:half], [i for i in order if gain[i] < 0][:half]
    a, b = base.right(by), run.right(by)
    both = int((a & b).sum()) if a is not None and b is not None else None
    neither = int((~a & ~b).sum()) if a is not None and b is not None else None
    examples = [(i, float(ours[i]), float(theirs[i])) for i in [*gains, *losses]]
    return Disagreement(by, int((gain > 0).sum()), int((gain < 0).sum()), both, neither, examples)
