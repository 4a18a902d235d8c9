"""What run folders say of themselves, read from their small files alone: nothing is loaded and nothing is changed."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.core.files import found_folder
from ft_toolkit.core.yaml12 import YamlError, parse_yaml


@dataclass(frozen=True)
class Entry:
    """A folder of `ftk run` or `ftk evaluate`. What is not known is None.

    `state` is finished, unfinished (--resume goes on with it), unfinished without a checkpoint, or broken, with why. `score` is
    the main metric on `split`: test where there is one. Of several seeds it is the mean, and `sd` their spread.
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


SORTABLE = ("name", "task", "model", "method", "metric", "score", "n", "steps", "seconds", "date", "state", "folder")
_LARGEST_FIRST = ("n", "steps", "seconds")


def find_runs(folders: Iterable[Path]) -> list[Entry]:
    """Return the runs and evaluations in and below folders, in the order of their paths; a seed's run belongs to its own."""
    entries = []
    for top in folders:
        for path, below, files in os.walk(top):
            below.sort()
            if {"results.json", "recipe.yaml"} & set(files):
                below.clear()
                entries.append(read_entry(Path(path)))
    return entries


def read_entry(folder: Path) -> Entry:
    """Return what a folder says; one with a damaged file says so in its state."""
    try:
        if (folder / "results.json").is_file():
            return _finished(folder, _json(folder / "results.json"))
        return _unfinished(folder)
    except (ValueError, YamlError) as error:  # not JSON, not UTF-8, not YAML
        reason = error.problem if isinstance(error, YamlError) else str(error)
        return Entry(str(folder), f"broken: {reason}", name=folder.name)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        return Entry(str(folder), f"broken: results.json lacks or mistakes {error}", name=folder.name)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _finished(folder: Path, results: Mapping[str, Any]) -> Entry:
    split = "test" if "test" in results["scores"] else min(results["scores"])
    found, metric = results["scores"][split], results["main_metric"]
    score = found["metrics"][metric]
    seeds = results.get("seeds")
    training, evaluation = results.get("training", {}), results.get("evaluation", {})
    inner = folder / results["best"]["folder"] if seeds else folder
    return Entry(
        str(folder),
        "finished",
        kind=results.get("kind", f"{len(seeds)} seeds" if seeds else "run"),
        name=results["name"],
        task=results["task"],
        model=results["model"],
        method=results.get("method"),
        smoke=bool(results["substitutions"]),
        split=split,
        metric=metric,
        greater_is_better=results["greater_is_better"],
        score=score["mean" if seeds else "value"],
        low=None if seeds else score["low"],
        high=None if seeds else score["high"],
        sd=score["sd"] if seeds else None,
        n=found["n"],
        steps=max(one["steps"] for one in results["runs"]) if seeds else training.get("steps"),
        seconds=results["seconds"] if seeds else training.get("seconds", evaluation.get("seconds")),
        date=evaluation.get("finished") or _started(inner),
    )


def _started(folder: Path) -> str | None:
    path = folder / "environment.json"
    return _json(path).get("started") if path.is_file() else None


def _unfinished(folder: Path) -> Entry:
    recipe = parse_yaml((folder / "recipe.yaml").read_text(encoding="utf-8"))[0]
    if not isinstance(recipe, dict):
        raise ValueError("recipe.yaml: not a mapping")
    places = (folder, *folder.glob("seed_*"))
    saved = any(found_folder(place / "checkpoints" / "last") for place in places)
    model = _section(recipe, "model")
    return Entry(
        str(folder),
        "unfinished" if saved else "unfinished without a checkpoint",
        name=folder.name,
        task=_section(recipe, "task").get("name"),
        model=model.get("name") or (f"{model['config']} from scratch" if model.get("config") else None),
        method=_section(recipe, "method").get("name"),
        date=_started(folder),
    )


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = recipe.get(name)
    return found if isinstance(found, dict) else {"name": found}


def sort_entries(entries: Iterable[Entry], column: str) -> list[Entry]:
    """Return the entries by a column: scores best first within their task and metric, counts largest first, dates latest
    first, text from A to Z; what is not known comes last. Raises UsageError for another column."""
    if column not in SORTABLE:
        raise UsageError(f"--sort {column}: allowed: {one_of(SORTABLE)}.{did_you_mean(column, SORTABLE)}")
    found = sorted(entries, key=lambda one: one.folder)
    if column == "score":
        return sorted(found, key=_by_score)
    found.sort(key=lambda one: getattr(one, column) or 0 if column in _LARGEST_FIRST else str(getattr(one, column)))
    if column in (*_LARGEST_FIRST, "date"):
        found.reverse()
    return sorted(found, key=lambda one: getattr(one, column) is None)


def _by_score(one: Entry) -> tuple[bool, str, str, float]:
    best_first = 0.0 if one.score is None else -one.score if one.greater_is_better else one.score
    return one.score is None, one.task or "", f"{one.metric} {one.split}", best_first
