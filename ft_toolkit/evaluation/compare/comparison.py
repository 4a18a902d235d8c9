"""Compare two or more finished runs on the same examples (`ftk compare`)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_records import RunResults, SeedSpread
from ft_toolkit.evaluation.compare.differences import (
    ComparedScore,
    compare_classes,
    compare_main_metric,
    compare_metrics,
    compare_slices,
    samples_drawn,
)
from ft_toolkit.evaluation.compare.disagreements import Disagreement, find_disagreements
from ft_toolkit.evaluation.compare.example_slices import MIN_ROWS, slice_examples
from ft_toolkit.evaluation.compare.finished_runs import (
    FinishedRun,
    check_comparable,
    choose_metric,
    clusters_of,
    common_metrics,
)
from ft_toolkit.evaluation.compare.recipe_differences import SettingDifference, recipe_differences
from ft_toolkit.evaluation.statistics.significance import LEVEL
from ft_toolkit.metrics.clusters import describe


@dataclass(frozen=True)
class Comparison:
    """The content of the page, the console output and the JSON file of `ftk compare`.

    The first run is the base. `main` compares the chosen metric; only there, a difference can be significant. `metrics` has
    the same row. The other rows, `classes` and `slices` (a table per column) are exploratory. `skipped` names, per column, the
    values with too few rows to compare. `settings` are the recipe settings that differ.
    """

    runs: list[FinishedRun]
    metric: str
    main: ComparedScore
    metrics: list[ComparedScore]
    classes: list[ComparedScore]
    slices: dict[str, list[ComparedScore]]
    skipped: dict[str, list[str]]
    disagreements: dict[str, Disagreement]
    settings: list[SettingDifference]
    notes: list[str]

    @property
    def base(self) -> FinishedRun:
        """The run that the others are compared with."""
        return self.runs[0]

    def as_json(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        examples = self.base.examples
        ids = [record["id"] for record in examples.records]
        return {
            "task": examples.task.name,
            "split": examples.split,
            "n": len(examples.records),
            "fingerprint": examples.fingerprint,
            "metric": self.metric,
            "greater_is_better": self.main.greater_is_better,
            "base": self.base.label,
            "level": LEVEL,
            "resamples": samples_drawn(len(self.runs)),
            "runs": [_run_as_json(run, self.metric) for run in self.runs],
            "main": asdict(self.main),
            "metrics": [asdict(row) for row in self.metrics],
            "classes": [asdict(row) for row in self.classes],
            "slices": {column: [asdict(row) for row in table] for column, table in self.slices.items()},
            "slices_skipped": self.skipped,
            "disagreements": {label: _as_json(disagreement, ids) for label, disagreement in self.disagreements.items()},
            "settings": [
                {"setting": difference.setting, "values": dict(zip(self._labels, difference.values, strict=True))}
                for difference in self.settings
            ],
            "notes": self.notes,
        }

    @property
    def _labels(self) -> list[str]:
        return [run.label for run in self.runs]


def compare_runs(runs: Sequence[FinishedRun], *, metric: str | None, columns: Sequence[str]) -> Comparison:
    """Compare every run with the first one, on the same examples.

    `metric` None takes the main metric of the first run; `columns` are the columns to slice by, or "length". Raises
    UsageError when the runs cannot be compared.
    """
    if len(runs) < 2:
        raise UsageError(f"only one run was given ({runs[0].path}). Name two or more")
    check_comparable(runs)
    main_metric, alias_note = choose_metric(metric, runs)
    names, metric_notes = common_metrics(runs)
    settings = recipe_differences([run.recipe for run in runs])  # reports a damaged recipe before the slow part
    base = runs[0]
    slices, skipped = {}, {}
    for column in columns:
        records = next(
            (run.examples.records for run in runs if column in run.examples.records[0]), base.examples.records
        )
        positions_of = slice_examples(records, column, base.examples.task)
        skipped[column] = [value for value, positions in positions_of.items() if len(positions) < MIN_ROWS]
        large = {value: positions for value, positions in positions_of.items() if len(positions) >= MIN_ROWS}
        slices[column] = compare_slices(runs, main_metric, large)
    main = compare_main_metric(runs, main_metric)
    return Comparison(
        runs=list(runs),
        metric=main_metric,
        main=main,
        metrics=[main if row.name == main_metric else row for row in compare_metrics(runs, names)],
        classes=compare_classes(runs),
        slices=slices,
        skipped=skipped,
        disagreements={run.label: find_disagreements(base, run, main_metric) for run in runs[1:]},
        settings=settings,
        notes=[*alias_note, *metric_notes, *_notes(runs)],
    )


def seed_spread(run: FinishedRun, metric: str) -> SeedSpread | None:
    """Return the scores of a multi-seed run over its seeds, None for a single run."""
    return None if run.seeds is None else run.seeds.scores[run.examples.split].metrics[metric]


def _run_as_json(run: FinishedRun, metric: str) -> dict[str, Any]:
    spread = seed_spread(run, metric)
    return {
        "label": run.label,
        "folder": str(run.path),
        "examples_of": str(run.examples.folder),
        "name": run.results.name,
        "model": run.results.model,
        "method": run.results.method if isinstance(run.results, RunResults) else None,
        "smoke": run.results.is_smoke,
        "seeds": spread and spread.model_dump(include={"mean", "sd", "min", "max", "n"}),
    }


def _as_json(disagreement: Disagreement, ids: Sequence[str]) -> dict[str, Any]:
    examples = [{"id": ids[i], "base": a, "run": b} for i, a, b in disagreement.examples]
    return asdict(disagreement) | {"examples": examples}


def _notes(runs: Sequence[FinishedRun]) -> list[str]:
    notes = []
    if smoke := [run.label for run in runs if run.results.is_smoke]:
        notes.append(f"Smoke runs: {', '.join(smoke)}. Their scores mean nothing.")
    if multi_seed := [run for run in runs if run.seeds is not None]:
        best = ", ".join(f"seed {run.seeds.best.seed} of {run.label}" for run in multi_seed if run.seeds)
        notes.append(
            f"A multi-seed run is represented by its best seed on validation ({best}). The tests do not cover other seeds."
        )
    if (clusters := clusters_of(runs)) is not None:
        text = describe(clusters.column, clusters.n)
        notes.append(f"{text[0].upper()}{text[1:]}.")
    if runs[0].examples.split == "validation":
        notes.append("All scores are optimistic: these validation rows also selected the checkpoints.")
    return notes
