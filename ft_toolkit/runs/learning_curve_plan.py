"""Plan the runs of a learning curve: which models on which shares with which seeds. Imports no torch."""

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
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.tasks import find_tasks

if TYPE_CHECKING:
    from ft_toolkit.training.prepare import Prepared

# The default shares; only those with at least MINIMUM_ROWS training rows are used.
DEFAULT_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
MINIMUM_ROWS = 50
# The minimum number of rows of a share from the command line.
_MINIMUM_ROWS_OF_NAMED_SHARE = 8
# The recipe's epochs are few steps on a small share. A small share is trained for this many steps, or for as many as all rows
# take if that is fewer. Otherwise its score would show too little training instead of too few rows.
MINIMUM_STEPS = 100


@dataclass(frozen=True)
class CurveRequest:
    """The arguments of `ftk scale`. `recipe` is the recipe as named on the command line, `path` is its file.

    Defaults for None: DEFAULT_SHARES, the recipe's model, the recipe's seed or seeds.
    """

    recipe: str
    path: Path
    overrides: Sequence[str]
    shares: Sequence[float] | None
    models: Sequence[str] | None
    seeds: Sequence[int] | None
    split: SplitName


@dataclass(frozen=True)
class CurveRun:
    """One model trained on one share with one seed.

    settings    the overrides that turn the recipe of the request into the recipe of this run
    folder      the run folder, relative to the folder of the learning curve
    title       the name on the console
    """

    model: str
    share: float
    loaded: LoadedRecipe
    settings: tuple[str, ...]
    folder: str
    title: str


def load_models(request: CurveRequest) -> dict[str, LoadedRecipe]:
    """Return the recipe on all rows for each model, by the model's title. Raises RecipeError, UsageError."""
    tasks = find_tasks()
    recipes = [
        load_recipe(request.path, [*request.overrides, *settings], tasks) for settings in _model_settings(request)
    ]
    if recipes[0].recipe.data.train_fraction is not None:
        raise UsageError("data.train_fraction: 'ftk scale' sets it for each run; remove it (null), and use --shares")
    by_title = {loaded.recipe.model.title: loaded for loaded in recipes}
    if len(by_title) < len(recipes):
        raise UsageError(f"--models {','.join(request.models or ())}: a model is named twice; name each model once")
    return by_title


def _model_settings(request: CurveRequest) -> list[list[str]]:
    """Return, for each model, the overrides that replace the recipe's model; only the recipe's dropout is kept."""
    if not request.models:
        return [[]]
    dropout = load_recipe(request.path, request.overrides, find_tasks()).recipe.model.dropout
    kept = "" if dropout is None else f", dropout: {dropout}"
    return [[f"model={{name: {json.dumps(name)}{kept}}}"] for name in request.models]


def check_split(split: SplitName, prepared: Prepared) -> None:
    """Raise UsageError if the run has no rows of the split to score on."""
    allowed = [name for name in prepared.data.splits if name != "train"]
    if split not in allowed:
        raise UsageError(f"--split {split}: the data has no {split} rows; allowed: {one_of(allowed)}")


def choose_shares(named: Sequence[float] | None, rows: int, labels: int) -> list[float]:
    """Return the shares of `rows` training rows in growing order.

    `named` are the shares from the command line, `labels` is the number of labels. Raises UsageError for too few shares or
    rows.
    """
    if named is None:
        least = max(MINIMUM_ROWS, labels)
        shares = [share for share in DEFAULT_SHARES if fraction_size(rows, share) >= least]
        if len(shares) < MINIMUM_POINTS:
            raise UsageError(
                f"{rows:,} training rows are too few for {MINIMUM_POINTS} shares of at least {least} rows, each twice as large "
                "as the one before; name smaller shares, such as --shares 0.25,0.5,1"
            )
        return shares
    shares, least = sorted(named), max(_MINIMUM_ROWS_OF_NAMED_SHARE, labels)
    sizes = [fraction_size(rows, share) for share in shares]
    if sizes[0] < least:
        reason = f", one per label ({labels} labels)" if labels > _MINIMUM_ROWS_OF_NAMED_SHARE else ""
        remedy = (
            f"use a share of at least {math.ceil(1e4 * least / rows) / 1e4:g}" if least <= rows else "add training rows"
        )
        raise UsageError(
            f"--shares: {shares[0]:g} of {rows:,} training rows is {sizes[0]} rows; at least {least} are required{reason}: "
            f"{remedy}"
        )
    if len(set(sizes)) < len(sizes):
        raise UsageError(
            f"--shares {','.join(f'{share:g}' for share in shares)}: two shares have the same number of rows; remove one"
        )
    return shares


def plan_runs(request: CurveRequest, prepared: Sequence[Prepared], world_size: int) -> list[CurveRun]:
    """Return all runs: for each model, in the order of the request, from the smallest share to the largest.

    `prepared` has the run of each model on all rows. Raises UsageError.
    """
    first = prepared[0]
    labels = first.task.labels(first.schema)
    shares = choose_shares(request.shares, len(first.data.splits["train"]), len(labels))
    return [
        _plan_run(request, full_run, model_settings, share, seed, world_size)
        for full_run, model_settings in zip(prepared, _model_settings(request), strict=True)
        for share in shares
        for seed in _seeds(request, full_run)
    ]


def _seeds(request: CurveRequest, prepared: Prepared) -> Sequence[int]:
    training = prepared.recipe.training
    return request.seeds or training.seeds or [training.seed]


def _plan_run(
    request: CurveRequest, full_run: Prepared, model_settings: list[str], share: float, seed: int, world_size: int
) -> CurveRun:
    """Return the run of one model, share and seed; `full_run` is the run of the model on all rows."""
    hub_settings = ["hub.push=false"] if full_run.recipe.hub.push else []
    settings = [
        *(word for word in request.overrides if not word.startswith(("training.seed=", "training.seeds="))),
        *model_settings,
        f"data.train_fraction={share!r}",
        f"training.seed={seed}",
        *step_settings(full_run, share, world_size),
        *hub_settings,
        "reference=null",  # the published result is a result of training on all rows
    ]
    loaded = load_recipe(request.path, settings, find_tasks())
    title, parts = f"{share:g} of the rows", [f"share_{share:g}"]
    if len(_seeds(request, full_run)) > 1:
        title, parts = f"{title}, seed {seed}", [*parts, f"seed_{seed}"]
    loaded = replace(loaded, name="_".join([loaded.name, *parts]))
    model = full_run.recipe.model.title
    if len(request.models or ()) > 1:
        number = list(request.models or ()).index(model) + 1
        title, parts = f"{model}, {title}", [f"model_{number}", *parts]
    return CurveRun(model, share, loaded, tuple(settings), "/".join(parts), title)


def step_settings(full_run: Prepared, share: float, world_size: int) -> list[str]:
    """Return the overrides that give a share enough steps and as many evaluations as a run on all rows.

    The number of evaluations is the same because the best of more evaluations is a more optimistic score. Values that the run
    on all rows chose apply to every share.
    """
    recipe, full_steps = full_run.recipe, full_run.total_steps(world_size)
    if share == 1 or not full_steps:  # without steps, the single evaluation is after the linear probe
        return []
    chosen = {choice.setting: choice.value for choice in full_run.choices}
    evaluations = math.ceil(full_steps / (recipe.evaluation.eval_steps or full_run.epoch_steps(0, world_size)))
    max_steps, share_steps = recipe.training.max_steps, math.ceil(full_steps * share)
    steps = max(share_steps, min(full_steps, MINIMUM_STEPS)) if max_steps is None else max_steps
    settings = [f"training.max_steps={steps}"] if max_steps is None and steps > share_steps else []
    is_chosen = chosen.pop("evaluation.eval_steps", None) is not None
    if is_chosen or (recipe.evaluation.eval_steps is None and (settings or max_steps is not None)):
        settings.append(f"evaluation.eval_steps={math.ceil(steps / evaluations)}")
    chosen.pop("training.mixed_precision", None)  # each run chooses the same on the same machine
    return settings + [f"{setting}={'null' if value is None else value}" for setting, value in chosen.items()]
