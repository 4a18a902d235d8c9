"""List runs and evaluations from the small files of their folders. No model is loaded and nothing is changed."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ft_toolkit.core.errors import RunFolderError
from ft_toolkit.core.run_folder import RECIPE, RESULTS, has_checkpoint
from ft_toolkit.core.run_records import (
    EvaluationResults,
    RunResults,
    SeedsResults,
    read_environment,
    read_recipe,
    read_results,
)


@dataclass(frozen=True)
class ListedRun:
    """One line of `ftk runs`: the folder of `ftk run` or `ftk evaluate`. Unknown values are None.

    `state` is "finished", "unfinished" (can be resumed), "unfinished without a checkpoint", or "broken: " with the problem.
    `score` is the main metric on `split`, which is test if there is a test split. For a multi-seed run it is the mean, and
    `sd` the standard deviation over the seeds.
    """

    folder: str
    state: str
    kind: str = "run"
    name: str | None = None
    task: str | None = None
    model: str | None = None
    method: str | None = None
    smoke: bool = False
    split: str | None = None
    metric: str | None = None
    greater_is_better: bool = True
    score: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    n: int | None = None
    steps: int | None = None
    seconds: float | None = None
    date: str | None = None


SortColumn = Literal[
    "name", "task", "model", "method", "metric", "score", "n", "steps", "seconds", "date", "state", "folder"
]
_LARGEST_FIRST = ("n", "steps", "seconds")


def find_runs(folders: Iterable[Path]) -> list[ListedRun]:
    """Return the runs and evaluations in and below folders, in the order of their paths.

    The runs of the single seeds of a multi-seed run are not listed.
    """
    runs = []
    for top in folders:
        for path, subfolders, files in os.walk(top):
            subfolders.sort()
            if {RESULTS, RECIPE} & set(files):
                subfolders.clear()
                runs.append(read_listed_run(Path(path)))
    return runs


def read_listed_run(folder: Path) -> ListedRun:
    """Return the line of a folder. A damaged file is reported in its state."""
    try:
        if not (folder / RESULTS).is_file():
            return _unfinished(folder)
        results = read_results(folder)
        return _multi_seed(folder, results) if isinstance(results, SeedsResults) else _single(folder, results)
    except RunFolderError as error:
        return ListedRun(str(folder), f"broken: {error}", name=folder.name)


def _single(folder: Path, results: RunResults | EvaluationResults) -> ListedRun:
    split = _main_split(results.scores)
    scores = results.scores[split]
    score = scores.metrics[results.main_metric]
    run = results if isinstance(results, RunResults) else None
    return ListedRun(
        str(folder),
        "finished",
        kind=results.kind,
        name=results.name,
        task=results.task,
        model=results.model,
        method=None if run is None else run.method,
        smoke=results.is_smoke,
        split=split,
        metric=results.main_metric,
        greater_is_better=results.greater_is_better,
        score=score.value,
        low=score.low,
        high=score.high,
        n=scores.n,
        steps=None if run is None else run.training.steps,
        seconds=results.training.seconds if isinstance(results, RunResults) else results.evaluation.seconds,
        date=read_environment(folder).started if isinstance(results, RunResults) else results.evaluation.finished,
    )


def _multi_seed(folder: Path, results: SeedsResults) -> ListedRun:
    split = _main_split(results.scores)
    scores = results.scores[split]
    score = scores.metrics[results.main_metric]
    return ListedRun(
        str(folder),
        "finished",
        kind=f"{len(results.seeds)} seeds",
        name=results.name,
        task=results.task,
        model=results.model,
        method=results.method,
        smoke=results.is_smoke,
        split=split,
        metric=results.main_metric,
        greater_is_better=results.greater_is_better,
        score=score.mean,
        sd=score.sd,
        n=scores.n,
        steps=max((run.steps for run in results.runs), default=None),
        seconds=results.seconds,
        date=read_environment(folder / results.best.folder).started,
    )


def _main_split(splits: Iterable[str]) -> str:
    names = list(splits)
    return "test" if "test" in names else min(names)


def _unfinished(folder: Path) -> ListedRun:
    recipe = read_recipe(folder) or {}
    folders = (folder, *folder.glob("seed_*"))
    can_resume = any(has_checkpoint(path) for path in folders)
    model = _section(recipe, "model")
    return ListedRun(
        str(folder),
        "unfinished" if can_resume else "unfinished without a checkpoint",
        name=folder.name,
        task=_section(recipe, "task").get("name"),
        model=model.get("name") or (f"{model['config']} from scratch" if model.get("config") else None),
        method=_section(recipe, "method").get("name"),
        date=read_environment(folder).started,
    )


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a recipe. `task: ner` is short for `task: {name: ner}`."""
    section = recipe.get(name)
    return section if isinstance(section, dict) else {"name": section}


def sort_runs(runs: Iterable[ListedRun], column: SortColumn) -> list[ListedRun]:
    """Return runs sorted by a column, unknown values last.

    Scores are sorted within task and metric, the best first. Counts are sorted from large to small, dates from new to old,
    text from A to Z.
    """
    by_folder = sorted(runs, key=lambda run: run.folder)
    if column == "score":
        return sorted(by_folder, key=_score_key)
    by_folder.sort(key=lambda run: getattr(run, column) or 0 if column in _LARGEST_FIRST else str(getattr(run, column)))
    if column in (*_LARGEST_FIRST, "date"):
        by_folder.reverse()
    return sorted(by_folder, key=lambda run: getattr(run, column) is None)


def _score_key(run: ListedRun) -> tuple[bool, str, str, float]:
    best_first = 0.0 if run.score is None else -run.score if run.greater_is_better else run.score
    return run.score is None, run.task or "", f"{run.metric} {run.split}", best_first
