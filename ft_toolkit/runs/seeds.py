"""A recipe with several seeds: the whole run once per seed, each into a folder of its own, and what they say together."""

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.console import Console

from ft_toolkit.core import files
from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.run_folder import resume_command, without_folder
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.hub import push as hub
from ft_toolkit.hub.access import check_recipe
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.report.console import print_results
from ft_toolkit.report.seeds import write_seeds_report
from ft_toolkit.runs.multi_run import OneOfSeveral, run_several
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import claim_folder, run
from ft_toolkit.training.distributed import processes as ranks
from ft_toolkit.training.tracking import Display


def run_recipe(
    loaded: LoadedRecipe,
    *,
    output: Path | None,
    resume: bool,
    smoke: bool,
    command: str,
    console: Console,
    verbosity: Verbosity = Verbosity.NORMAL,
) -> dict[str, Any]:
    """Train, evaluate and document a recipe, once for each of its seeds.

    Returns the content of results.json and the run folder as `folder`; processes other than the main process return an empty
    dict. Raises UsageError before anything is trained, NotFiniteError, ReloadError, HubError once the run folder is complete,
    LostProcessError, or Interrupted with a checkpoint saved.
    """
    options = RunOptions(output, resume, smoke, command, console, verbosity)
    with ranks.joined() as state:
        return _run_recipe(state, loaded, options)


def _run_recipe(state: PartialState, loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    display = Display(options.console, enabled=state.is_main_process, verbosity=options.verbosity)
    pushing = loaded.recipe.hub.push and not options.smoke
    if pushing:
        ranks.agree(state, lambda: check_recipe(loaded, display.say))
    elif loaded.recipe.hub.push:
        display.warn("note: a smoke run is not pushed to the Hub")
    results = run(loaded, options) if loaded.recipe.training.seeds is None else _run_seeds(loaded, options)
    if results:
        print_results(results, options.console)
    if results and pushing:
        hub.push_finished(loaded, Path(results["folder"]), display.say)
    return results


def _run_seeds(loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    seeds = loaded.recipe.training.seeds or []
    state = PartialState()
    folder, command = claim_folder(state, loaded.name, options), options.command
    places = {seed: folder / f"seed_{seed}" for seed in seeds}
    runs = [
        OneOfSeveral(f"seed {seed}", _with_seed(loaded, seed), target, _command_of(command, seed, target))
        for seed, target in places.items()
    ]
    run_several(runs, options, what="seeds", go_on=resume_command(command, folder))
    if not state.is_main_process:
        return {}
    results = summarize(loaded, folder, command)
    files.write_json(folder / "results.json", results)
    write_seeds_report(folder)
    return {**results, "folder": str(folder)}


def _with_seed(loaded: LoadedRecipe, seed: int) -> LoadedRecipe:
    """Return the recipe of one seed, as if it had been written with that seed alone."""
    training = loaded.recipe.training.model_copy(update={"seed": seed, "seeds": None})
    recipe = loaded.recipe.model_copy(update={"training": training})
    return replace(loaded, name=f"{loaded.name}_seed_{seed}", recipe=recipe)


def summarize(loaded: LoadedRecipe, folder: Path, command: str) -> dict[str, Any]:
    """Return what the runs in seed_1, seed_2 ... say together. Raises ResumeError when they were made from different rows."""
    seeds = loaded.recipe.training.seeds or []
    runs = {seed: json.loads((folder / f"seed_{seed}" / "results.json").read_text(encoding="utf-8")) for seed in seeds}
    first = runs[seeds[0]]
    if len({one["data"]["fingerprint"] for one in runs.values()}) > 1:
        raise ResumeError(f"{folder}: the seeds were run on different rows; restore the data, or start a new run")
    selection = loaded.recipe.evaluation.metric_for_best_model or first["main_metric"]
    chosen_by = {seed: selection_score(one, selection) for seed, one in runs.items()}
    greater_is_better = selection != "loss" and selection not in first["lower_is_better"]
    known = {seed: value for seed, value in chosen_by.items() if value is not None}
    best = (max if greater_is_better else min)(known, key=lambda seed: known[seed]) if known else seeds[0]
    kept = ("task", "pipeline_tag", "model", "method", "main_metric", "greater_is_better", "lower_is_better")
    return {
        "name": loaded.name,
        "command": command,
        **{key: first[key] for key in kept},
        "substitutions": first["substitutions"],
        "data": {key: first["data"][key] for key in ("card", "title", "hub", "fingerprint")},
        "seeds": list(seeds),
        "best": {
            "seed": best,
            "folder": f"seed_{best}",
            "model": f"seed_{best}/model",
            "chosen_by": f"validation {selection}",
            "value": chosen_by[best],
        },
        "scores": {split: _spread(runs, split) for split in first["scores"]},
        "runs": [
            {
                "seed": seed,
                "folder": f"seed_{seed}",
                "steps": one["training"]["steps"],
                "best_step": one["training"]["best_step"],
                f"validation {selection}": chosen_by[seed],
                "seconds": one["training"]["seconds"],
                # of the process so far: a later seed shows at least what an earlier one in the same process needed
                "process_peak_memory_mib": one["training"]["peak_memory_mib"],
            }
            for seed, one in runs.items()
        ],
        "seconds": round(sum(one["training"]["seconds"] for one in runs.values()), 2),
    }


def selection_score(results: Mapping[str, Any], selection: str) -> float | None:
    """Return a run's validation score under the metric, or loss, that picked its checkpoint."""
    if selection != "loss":
        value: float | None = results["scores"]["validation"]["metrics"][selection]["value"]
        return value
    training = results["training"]
    at_best = [one["validation_loss"] for one in training["evaluations"] if one["step"] == training["best_step"]]
    return at_best[-1] if at_best else None


def _spread(runs: Mapping[int, Mapping[str, Any]], split: str) -> dict[str, Any]:
    found = [one["scores"][split] for one in runs.values()]
    return {
        "n": found[0]["n"],
        "metrics": {
            name: {
                **spread([one["metrics"][name]["value"] for one in found]),
                "values": {str(seed): one["scores"][split]["metrics"][name] for seed, one in runs.items()},
            }
            for name in found[0]["metrics"]
        },
    }


def spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    """Return mean, sample standard deviation (None for fewer than two), minimum, maximum and n of the defined values."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "min": min(known, default=None),
        "max": max(known, default=None),
        "n": len(known),
    }


def _command_of(command: str, seed: int, target: Path) -> str:
    """Return the command that repeats one seed by itself."""
    words = [word for word in without_folder(command) if not word.startswith("training.seed")]
    return shlex.join([*words, f"training.seed={seed}", "--output", str(target)])
