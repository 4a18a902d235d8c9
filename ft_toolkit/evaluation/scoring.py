"""Predict every split with a trained model, and compute the scores that results.json records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.breakdown.split_breakdown import break_down_split
from ft_toolkit.evaluation.predictor import Predictor, predict_in_chunks
from ft_toolkit.evaluation.statistics.scores import ScoringSetup, full_scores
from ft_toolkit.evaluation.statistics.significance import enough_resamples
from ft_toolkit.tasks.base import Rows
from ft_toolkit.training.prepare import Prepared

Decoded = list[dict[str, Any]]


@dataclass(frozen=True)
class ScoredSplit:
    """The record of a split for results.json, and the arrays that its scores were computed from, shape (n, ...)."""

    record: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray


def predict_splits(
    predictor: Predictor, prepared: Prepared, cached: Mapping[SplitName, Sequence[Any]]
) -> tuple[Prepared, dict[SplitName, Decoded]]:
    """Return the decoded predictions of every split except train.

    `cached` holds values that the model has already predicted for the features of a split; they are not computed again.
    Thresholds are fitted to the validation split first; the returned `prepared` has a schema with these thresholds.
    """
    names: list[SplitName] = [name for name in prepared.data.splits if name != "train"]
    if prepared.task.generate is not None:
        return prepared, {name: _predict_all(predictor, prepared, prepared.data.splits[name]) for name in names}
    values = {name: cached.get(name) or predictor.predict(prepared.features[name])[0] for name in names}
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
    """Return the decoded predictions of rows, computed by this process alone."""
    return _predict_all(replace(predictor, alone=True, schema=prepared.schema), prepared, rows)


def _predict_all(predictor: Predictor, prepared: Prepared, rows: Rows) -> Decoded:
    return list(chain.from_iterable(predict_in_chunks(predictor, rows, prepared.recipe.data.max_length)))


def scoring_setup(prepared: Prepared) -> ScoringSetup:
    """Return how the predictions of a run are scored."""
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
    decoded: Decoded, rows: Rows, setup: ScoringSetup, baselines: Mapping[str, Decoded], *, fitted_here: bool
) -> ScoredSplit:
    """Return the scores of a split with intervals, its breakdowns, and the scores of each baseline.

    `decoded` and each of `baselines` have one prediction per row. The `lead` of a baseline's metric is the interval of the
    score of the model minus the score of the baseline. `fitted_here` says that thresholds and temperatures were fitted to
    these rows. `resamples` is the number of bootstrap resamples behind the scores. Leads over several baselines may need
    more, and these do not change the intervals of the scores: `ftk evaluate`, without baselines, gives the same.
    """
    scores = full_scores(decoded, rows, setup)
    lead_setup = replace(setup, samples=enough_resamples(setup.samples, len(baselines)))
    compared = scores if lead_setup.samples == setup.samples else full_scores(decoded, rows, lead_setup)
    baseline_records = {}
    for name, predicted in baselines.items():
        baseline = full_scores(predicted, rows, lead_setup)
        lead = compared.lead_over(baseline, setup.main_metric, len(baselines))
        baseline_records[name] = {key: {**score, "lead": lead[key]} for key, score in baseline.metrics().items()}
    clusters = None if setup.clusters is None else {"column": setup.clusters.column, "n": setup.clusters.n}
    breakdown = break_down_split(decoded, rows, scores, setup, fitted_here=fitted_here)
    record = {
        "n": scores.n,
        "resamples": setup.samples,
        "clusters": clusters,
        "metrics": scores.metrics(),
        **scores.details,
        **breakdown,
        "baselines": baseline_records,
    }
    return ScoredSplit(record, scores.predictions, scores.references)
