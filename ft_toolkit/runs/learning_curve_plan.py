"""What `ftk scale` runs: which models on which shares with which seeds, each as a recipe of its own. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.train_fraction import fraction_size
from ft_toolkit.evaluation.statistics.power_law import MINIMUM_POINTS
from ft_toolkit.recipe.load import LoadedRecipe, load_recipe
from ft_toolkit.tasks import find_tasks

if TYPE_CHECKING:
    from ft_toolkit.training.prepare import Prepared

# The shares that are tried unless others are asked for, as far as they hold MINIMUM_ROWS.
LADDER = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
MINIMUM_ROWS = 50
# The fewest rows that a share asked for may have.
_FEWEST = 8
# The recipe's epochs are few steps on a small share: it is gone through again until so many are done, or as many as all rows
# take. Otherwise the smallest shares would show too little training rather than too few rows.
MINIMUM_STEPS = 100


@dataclass(frozen=True)
class ScaleRequest:
    """What was asked for. `recipe` is the recipe as named on the command line, `path` its file.

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
class PlannedRun:
    """One model on one share with one seed: its recipe, the settings that make it of the request's, and where it belongs."""

    model: str
    share: float
    loaded: LoadedRecipe
    settings: tuple[str, ...]
    place: str
    title: str


def load_models(request: ScaleRequest) -> dict[str, LoadedRecipe]:
    """Return the whole recipe for each model, by the model's title. Raises RecipeError, UsageError."""
    tasks = find_tasks()
    given = [load_recipe(request.path, [*request.overrides, *some], tasks) for some in _model_settings(request)]
    if given[0].recipe.data.train_fraction is not None:
        raise UsageError("data.train_fraction is what 'ftk scale' varies; remove it (null), and name --shares")
    found = {loaded.recipe.model.title: loaded for loaded in given}
    if len(found) < len(given):
        raise UsageError(f"--models {','.join(request.models or ())}: each model once")
    return found


def _model_settings(request: ScaleRequest) -> list[list[str]]:
    """Return the settings that put each model in the place of the recipe's; only its dropout stays."""
    if not request.models:
        return [[]]
    dropout = load_recipe(request.path, request.overrides, find_tasks()).recipe.model.dropout
    kept = "" if dropout is None else f", dropout: {dropout}"
    return [[f"model={{name: {json.dumps(name)}{kept}}}"] for name in request.models]


def check_split(split: SplitName, prepared: Prepared) -> None:
    """Raise UsageError when there are no such rows to score on."""
    allowed = [name for name in prepared.data.splits if name != "train"]
    if split not in allowed:
        raise UsageError(f"--split {split}: there are no such rows; allowed: {one_of(allowed)}")


def choose_shares(wanted: Sequence[float] | None, rows: int, labels: int) -> list[float]:
    """Return the shares of so many training rows in growing order. Raises UsageError for too few, or with too few rows."""
    if wanted is None:
        least = max(MINIMUM_ROWS, labels)
        shares = [share for share in LADDER if fraction_size(rows, share) >= least]
        if len(shares) < MINIMUM_POINTS:
            raise UsageError(
                f"{rows:,} training rows are too few for {MINIMUM_POINTS} shares of at least {least} rows, each twice the one "
                "before; name smaller ones, e.g. --shares 0.25,0.5,1"
            )
        return shares
    shares, least = sorted(wanted), max(_FEWEST, labels)
    sizes = [fraction_size(rows, share) for share in shares]
    if sizes[0] < least:
        why = f", one for each of the {labels} labels" if labels > _FEWEST else ""
        raise UsageError(
            f"--shares: {shares[0]:g} of {rows:,} training rows are {sizes[0]} rows; at least {least} are needed{why}: "
            + (f"a share of {math.ceil(1e4 * least / rows) / 1e4:g}" if least <= rows else "more than there are")
        )
    if len(set(sizes)) < len(sizes):
        raise UsageError(f"--shares: of {one_of(f'{share:g}' for share in shares)} two give the same number of rows")
    return shares


def plan_runs(request: ScaleRequest, prepared: Sequence[Prepared], processes: int) -> list[PlannedRun]:
    """Return every run, for each model (in the request's order) from the smallest share to the largest.

    Raises UsageError.
    """
    first = prepared[0]
    labels = getattr(first.schema, "labels", ())
    shares = choose_shares(request.shares, len(first.data.splits["train"]), len(labels))
    return [
        _plan(request, one, model, share, seed, processes)
        for one, model in zip(prepared, _model_settings(request), strict=True)
        for share in shares
        for seed in _seeds(request, one)
    ]


def _seeds(request: ScaleRequest, prepared: Prepared) -> Sequence[int]:
    training = prepared.recipe.training
    return request.seeds or training.seeds or [training.seed]


def _plan(
    request: ScaleRequest, prepared: Prepared, model: list[str], share: float, seed: int, processes: int
) -> PlannedRun:
    hub = ["hub.push=false"] if prepared.recipe.hub.push else []
    settings = [
        *(word for word in request.overrides if not word.startswith(("training.seed=", "training.seeds="))),
        *model,
        f"data.train_fraction={share!r}",
        f"training.seed={seed}",
        *step_settings(prepared, share, processes),
        *hub,
        "reference=null",  # a published result was reached with all rows
    ]
    loaded = load_recipe(request.path, settings, find_tasks())
    title, parts = f"{share:g} of the rows", [f"share_{share:g}"]
    if len(_seeds(request, prepared)) > 1:
        title, parts = f"{title}, seed {seed}", [*parts, f"seed_{seed}"]
    loaded = replace(loaded, name="_".join([loaded.name, *parts]))
    name = prepared.recipe.model.title
    if len(request.models or ()) > 1:
        number = list(request.models or ()).index(name) + 1
        title, parts = f"{name}, {title}", [f"model_{number}", *parts]
    return PlannedRun(name, share, loaded, tuple(settings), "/".join(parts), title)


def step_settings(prepared: Prepared, share: float, processes: int) -> list[str]:
    """Return the settings that give a share steps enough, and then as many evaluations as all rows get.

    The best of more evaluations on the validation rows would flatter more.
    """
    if share == 1:
        return []
    recipe, whole = prepared.recipe, prepared.total_steps(processes)
    evaluations = math.ceil(whole / len(prepared.epoch_batches(0, processes)))
    fixed, own = recipe.training.max_steps, math.ceil(whole * share)
    steps = fixed or max(own, min(whole, MINIMUM_STEPS))
    settings = [f"training.max_steps={steps}"] if fixed is None and steps > own else []
    if recipe.evaluation.eval_steps is None and (settings or fixed is not None):
        settings.append(f"evaluation.eval_steps={math.ceil(steps / evaluations)}")
    return settings
