"""`ftk scale`: a recipe trained on growing shares of its training rows, and what the scores say about labelling more of them."""

import json
import math
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.console import Console

from ft_toolkit import environment, files
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.share import share_size
from ft_toolkit.errors import ResumeError, UsageError, one_of
from ft_toolkit.evidence.examples import read_results
from ft_toolkit.evidence.scaling import MINIMUM_POINTS, fit_record, point_record
from ft_toolkit.prepare import Prepared, prepare
from ft_toolkit.recipe_file import LoadedRecipe, load_recipe
from ft_toolkit.report.scale import print_scale, write_scale_page
from ft_toolkit.run import claim_folder
from ft_toolkit.run_folder import resume_command
from ft_toolkit.several import OneOfSeveral, run_several
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tracking import Display

# The shares that are tried unless others are asked for, as far as they hold MINIMUM_ROWS.
LADDER = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
MINIMUM_ROWS = 50
# The fewest rows that a share asked for may have.
_FEWEST = 8
# The recipe's epochs are few steps on a small share: it is gone through again until so many, or as many as all rows take, are done.
# Otherwise the smallest shares would show too little training rather than too few rows.
MINIMUM_STEPS = 100


@dataclass(frozen=True)
class ScaleRequest:
    """What was asked for. `recipe` is the name of the recipe on the command line, `path` its file.

    None takes the default: the ladder, the recipe's model, the recipe's seed or seeds.
    """

    recipe: str
    path: Path
    overrides: Sequence[str]
    shares: Sequence[float] | None
    models: Sequence[str] | None
    seeds: Sequence[int] | None
    split: SplitName


@dataclass(frozen=True)
class _Rung:
    """One model on one share: a run per seed."""

    share: float
    runs: tuple[OneOfSeveral, ...]


def load_models(request: ScaleRequest) -> dict[str, LoadedRecipe]:
    """Return the recipe for each model by its title, without anything that belongs to one run. Raises RecipeError, UsageError."""
    tasks, found = find_tasks(), {}
    for settings in _model_settings(request):
        loaded = load_recipe(request.path, [*request.overrides, *settings], tasks)
        found[loaded.recipe.model.title] = loaded
    recipe = next(iter(found.values())).recipe
    if recipe.data.train_fraction is not None:
        raise UsageError("data.train_fraction is what 'ftk scale' varies; remove it (null), or give --shares")
    if request.models and len(found) < len(request.models):
        raise UsageError(f"--models {','.join(request.models)}: each model once")
    return found


def _model_settings(request: ScaleRequest) -> list[list[str]]:
    """Return the settings that put each model in the place of the recipe's; its dropout stays."""
    if not request.models:
        return [[]]
    dropout = load_recipe(request.path, request.overrides, find_tasks()).recipe.model.dropout
    kept = "" if dropout is None else f", dropout: {dropout}"
    return [[f"model={{name: {json.dumps(name)}{kept}}}"] for name in request.models]


def run_scale(
    request: ScaleRequest, *, output: Path | None, resume: bool, command: str, console: Console
) -> dict[str, Any]:
    """Train the ladder, fit the curve of each model, write scale.json and scale.html; return scale.json's content and `folder`.

    Processes that are not the main one get an empty dict. Every model and all rows are checked before anything is trained. Raises
    UsageError, and what a run raises.
    """
    state = PartialState(cpu=environment.use_cpu())
    display = Display(console, enabled=state.is_main_process)
    loaded = load_models(request)
    prepared: dict[str, Prepared] = {}
    for title, one in loaded.items():
        with tempfile.TemporaryDirectory() as scratch:
            prepared[title] = prepare(one, smoke=False, work_folder=Path(scratch))
    first = next(iter(prepared.values()))
    _check_split(request.split, first)
    shares = choose_shares(request.shares, first)
    name = f"{next(iter(loaded.values())).name}-scale"
    folder = claim_folder(
        state, replace(next(iter(loaded.values())), name=name), output, resume=resume, smoke=False
    )
    settings = dict(zip(loaded, _model_settings(request), strict=True))
    rungs = {
        title: [
            _rung(request, one, settings[title], share, folder / _folder_name(title) if len(loaded) > 1 else folder)
            for share in shares
        ]
        for title, one in prepared.items()
    }
    if loaded[next(iter(loaded))].recipe.hub.push:
        display.say("note: the runs of a ladder are not pushed to the Hub")
    runs = [one for some in rungs.values() for rung in some for one in rung.runs]
    run_several(runs, what="runs", go_on=resume_command(command, folder), smoke=False, console=console)
    if not state.is_main_process:
        return {}
    found = summarize(name, request, prepared, rungs, folder, command)
    files.write_json(folder / "scale.json", found)
    write_scale_page(folder)
    print_scale(found, folder, console)
    state.destroy_process_group()
    return {**found, "folder": str(folder)}


def _check_split(split: SplitName, prepared: Prepared) -> None:
    allowed = [name for name in prepared.data.splits if name != "train"]
    if split not in allowed:
        raise UsageError(f"--split {split}: no such rows; allowed: {one_of(allowed)}")


def choose_shares(wanted: Sequence[float] | None, prepared: Prepared) -> list[float]:
    """Return the shares in growing order. Raises UsageError when they are too few, or hold too few rows."""
    rows = len(prepared.data.splits["train"])
    labels = len(getattr(prepared.schema, "labels", ()))
    if wanted is None:
        least = max(MINIMUM_ROWS, labels)
        shares = [share for share in LADDER if share_size(rows, share) >= least]
        if len(shares) < MINIMUM_POINTS:
            raise UsageError(
                f"{rows:,} training rows are too few for {MINIMUM_POINTS} shares of at least {least} rows, each twice the one "
                "before; name smaller ones, e.g. --shares 0.25,0.5,1"
            )
        return shares
    shares, least = sorted(wanted), max(_FEWEST, labels)
    sizes = [share_size(rows, share) for share in shares]
    if sizes[0] < least:
        why = f"one for each of the {labels} labels" if labels > _FEWEST else "fewer say nothing"
        raise UsageError(
            f"--shares {shares[0]:g} of {rows:,} training rows is {sizes[0]} rows; at least {least} are needed ({why}), a share of "
            f"{math.ceil(1e4 * least / rows) / 1e4:g}"
        )
    if len(set(sizes)) < len(sizes):
        raise UsageError(f"--shares: two of {one_of(f'{share:g}' for share in shares)} give the same number of rows")
    return shares


def _rung(request: ScaleRequest, prepared: Prepared, model: list[str], share: float, folder: Path) -> _Rung:
    """Return the runs of a model on a share, each with the command that repeats it alone."""
    training = prepared.recipe.training
    seeds = request.seeds or training.seeds or [training.seed]
    given = [word for word in request.overrides if not word.startswith(("training.seed=", "training.seeds="))]
    target = folder / f"share_{share:g}"
    runs = []
    for seed in seeds:
        words = [*given, *model, f"data.train_fraction={share!r}", f"training.seed={seed}", *step_settings(prepared, share)]
        if prepared.recipe.hub.push:
            words.append("hub.push=false")
        one = load_recipe(request.path, [*words, "reference=null"], find_tasks())
        place = target / f"seed_{seed}" if len(seeds) > 1 else target
        title = f"{share:g} of the rows" + (f", seed {seed}" if len(seeds) > 1 else "")
        own_command = shlex.join(["ftk", "run", request.recipe, *words, "reference=null", "--output", str(place)])
        one = replace(one, name=f"{one.name}_{place.relative_to(folder).as_posix().replace('/', '_')}")
        runs.append(OneOfSeveral(title if not model else f"{one.recipe.model.title}, {title}", one, place, own_command))
    return _Rung(share, tuple(runs))


def step_settings(prepared: Prepared, share: float) -> list[str]:
    """Return the settings that give a share enough steps, and as many evaluations as all rows get.

    The best of more evaluations on the validation rows flatters more.
    """
    recipe, processes = prepared.recipe, PartialState(cpu=environment.use_cpu()).num_processes
    if share == 1:
        return []
    whole = prepared.total_steps(processes)
    evaluations = math.ceil(whole / len(prepared.plan_epoch(0, processes)))
    own = math.ceil(whole * share)
    fixed = recipe.training.max_steps
    steps = fixed or max(own, min(whole, MINIMUM_STEPS))
    settings = [f"training.max_steps={steps}"] if fixed is None and steps > own else []
    if recipe.evaluation.eval_steps is None and (settings or fixed is not None):
        settings.append(f"evaluation.eval_steps={math.ceil(steps / evaluations)}")
    return settings


def _folder_name(title: str) -> str:
    return re.sub(r"[^\w.-]+", "_", title).strip("._")


def summarize(
    name: str,
    request: ScaleRequest,
    prepared: Mapping[str, Prepared],
    rungs: Mapping[str, Sequence[_Rung]],
    folder: Path,
    command: str,
) -> dict[str, Any]:
    """Return what scale.json holds. Raises ResumeError when the runs were scored on different rows."""
    first = next(iter(prepared.values()))
    metric, split = first.metrics[first.main_metric], request.split
    n, fingerprint = len(first.data.splits[split]), first.data.split_fingerprints[split]
    models = []
    for title, some in rungs.items():
        found = [[read_results(one.folder) for one in rung.runs] for rung in some]
        scored_on = {one["data"]["split_fingerprints"][split] for results in found for one in results}
        if scored_on != {fingerprint}:
            raise ResumeError(f"{folder}: the runs were scored on different {split} rows; restore them, or start anew")
        points = []
        for rung, results in zip(some, found, strict=True):
            scores = [one["scores"][split]["metrics"][first.main_metric] for one in results]
            points.append(
                {
                    "share": rung.share,
                    "rows": results[0]["data"]["splits"]["train"]["rows"],
                    **point_record(scores, metric, n),
                    "steps": results[0]["training"]["steps"],
                    "seconds": round(sum(one["training"]["seconds"] for one in results), 2),
                    "folders": [one.folder.relative_to(folder).as_posix() for one in rung.runs],
                }
            )
        models.append({"model": title, "points": points, "fit": fit_record(points, metric)})
    return {
        "name": name,
        "command": command,
        "task": first.task.name,
        "metric": first.main_metric,
        "greater_is_better": metric.greater_is_better,
        "best": metric.best,
        "split": split,
        "n": n,
        "fingerprint": fingerprint,
        "training_rows": len(first.data.splits["train"]),
        "minimum_steps": MINIMUM_STEPS,
        "epochs": first.recipe.training.num_train_epochs if first.recipe.training.max_steps is None else None,
        "seeds": len(next(iter(rungs.values()))[0].runs),
        "models": models,
        "seconds": round(sum(point["seconds"] for one in models for point in one["points"]), 2),
    }
