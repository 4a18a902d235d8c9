"""From a trained model to predictions and scores of every split: what stands in results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.breakdown.split_breakdown import break_down_split
from ft_toolkit.evaluation.predictor import Predictor, predict_in_chunks
from ft_toolkit.evaluation.statistics.scores import ScoringSetup, full_scores
from ft_toolkit.tasks.base import Rows
from ft_toolkit.training.prepare import Prepared

Decoded = list[dict[str, Any]]


@dataclass(frozen=True)
class ScoredSplit:
    """A split's part of results.json, and the arrays per example that its scores were computed from."""

    record: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray


def predict_splits(
    predictor: Predictor, prepared: Prepared, known: Mapping[SplitName, Sequence[Any]]
) -> tuple[Prepared, dict[SplitName, Decoded]]:
    """Return the decoded predictions of every split but train.

    `known` holds what the model is known to predict for the features of a split, which then is not asked again. Thresholds
    are chosen on validation first; the returned `prepared` has the schema that holds them.
    """
    names: list[SplitName] = [name for name in prepared.data.splits if name != "train"]
    if prepared.task.generate is not None:
        return prepared, {name: _predicted(predictor, prepared, prepared.data.splits[name]) for name in names}
    values = {name: known.get(name) or predictor.predict(prepared.features[name])[0] for name in names}
    if prepared.task.tune is not None:
        rows, features = prepared.data.splits["validation"], prepared.features["validation"]
        schema = prepared.task.tune(values["validation"], features, rows, prepared.schema)
        prepared = replace(prepared, schema=schema)
    task, splits = prepared.task, prepared.data.splits
    decoded = {
        name: task.decode(values[name], prepared.features[name], splits[name], prepared.schema) for name in names
    }
    return prepared, decoded


def predict_rows(predictor: Predictor, prepared: Prepared, rows: Rows) -> Decoded:
    """Return the decoded predictions of some rows, on this process alone."""
    return _predicted(replace(predictor, alone=True, schema=prepared.schema), prepared, rows)


def _predicted(predictor: Predictor, prepared: Prepared, rows: Rows) -> Decoded:
    return list(chain.from_iterable(predict_in_chunks(predictor, rows, prepared.recipe.data.max_length)))


def predict_baselines(prepared: Prepared, split: SplitName) -> dict[str, Decoded]:
    """Return what each baseline that the recipe names predicts for a split, learned from the training rows."""
    task, splits = prepared.task, prepared.data.splits
    seed = prepared.recipe.training.seed
    found = {
        name: task.baselines[name](splits["train"], splits[split], prepared.schema, seed) for name in prepared.baselines
    }
    # one without predictions has no answer to what this kind of checkpoint is asked
    return {name: predicted for name, predicted in found.items() if predicted}


def scoring_setup(prepared: Prepared) -> ScoringSetup:
    """Return how a run scores itself."""
    recipe = prepared.recipe
    return ScoringSetup(
        prepared.task,
        recipe.task,
        prepared.schema,
        prepared.metrics,
        prepared.main_metric,
        samples=recipe.evaluation.bootstrap_samples,
        seed=recipe.training.seed,
        slices=recipe.evaluation.slices,
        groups=recipe.evaluation.groups,
    )


def score_split(
    decoded: Decoded, rows: Rows, plan: ScoringSetup, baselines: Mapping[str, Decoded], *, fitted_here: bool
) -> ScoredSplit:
    """Return a split's metrics with intervals, its tables and parts, and each baseline with our lead over it.

    `decoded` and each of `baselines` hold a prediction per row. `fitted_here` says that thresholds and temperatures were
    chosen on these rows.
    """
    ours = full_scores(decoded, rows, plan)
    beside = {}
    for name, predicted in baselines.items():
        theirs = full_scores(predicted, rows, plan)
        lead = ours.lead_over(theirs)
        beside[name] = {key: {**found, "lead": lead[key]} for key, found in theirs.metrics().items()}
    more = break_down_split(decoded, rows, ours, plan, fitted_here=fitted_here)
    record = {"n": ours.n, "metrics": ours.metrics(), **ours.details, **more, "baselines": beside}
    return ScoredSplit(record, ours.predictions, ours.references)
