"""Fit the baselines of a run to its training rows, and predict the evaluated rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ft_toolkit.core.run_records import BaselineFacts
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.stored_rows import select_rows
from ft_toolkit.evaluation.embeddings import Embedder
from ft_toolkit.evaluation.predictor import Predictor, Processes, predict_in_chunks
from ft_toolkit.models.pretrained import load_model
from ft_toolkit.models.vocabulary import resize_embeddings
from ft_toolkit.tasks.base import Baseline, CheckpointBaseline, EmbeddingBaseline, Row, input_texts
from ft_toolkit.training.frozen_vectors import FrozenVectors
from ft_toolkit.training.prepare import Prepared
from ft_toolkit.training.tracking import Display

# Maximum number of tokens of the training rows that the checkpoint embeds: a minute for MiniLM on one core (8,000 tokens per
# second). A forward pass takes a third of the time of a training step, so the embeddings of all rows take a ninth of the time
# of three epochs.
MAX_TOKENS = 500_000
# The second seed, after the seed of the run, of the random sample of the training rows for a baseline.
_DRAW = 1

Decoded = list[dict[str, Any]]


@dataclass(frozen=True)
class BaselineResults:
    """The predictions of each baseline by split and name, and the facts on each by name."""

    predictions: dict[SplitName, dict[str, Decoded]]
    facts: dict[str, BaselineFacts]


def predict_baselines(
    prepared: Prepared,
    splits: Sequence[SplitName],
    processes: Processes,
    display: Display,
    frozen: FrozenVectors | None = None,
) -> BaselineResults:
    """Return the predictions of the run's baselines for the evaluated splits. This process alone computes them.

    `frozen` are the vectors of the training features, if the run has computed them.
    """
    results = BaselineResults({split: {} for split in splits}, {})
    if prepared.baselines:
        display.say(f"baselines  {', '.join(prepared.baselines)} ...".replace("_", " "))
    for name in prepared.baselines:
        started = time.perf_counter()
        baseline = prepared.task.baselines[name]
        chosen = _training_rows(baseline, prepared)
        if isinstance(baseline, EmbeddingBaseline):
            embedder = Embedder(prepared, processes, frozen or FrozenVectors())
            predictions = _predict_from_embeddings(baseline, prepared, chosen, splits, embedder, display)
        elif isinstance(baseline, CheckpointBaseline):
            predictions = _predict_untuned(prepared, processes, splits)
        else:
            predictions = _predict(baseline, prepared, chosen, splits)
        if not predictions:  # the baseline cannot be compared with this checkpoint
            continue
        seconds = round(time.perf_counter() - started, 2)
        results.facts[name] = BaselineFacts(training_rows=len(chosen), seconds=seconds)
        start = 0
        for split in splits:
            stop = start + len(prepared.data.splits[split])
            results.predictions[split][name] = predictions[start:stop]
            start = stop
    if results.facts:
        times = ", ".join(f"{name} {facts.seconds:.1f} s" for name, facts in results.facts.items())
        display.say(f"           {times}".replace("_", " "))
    return results


def _predict(baseline: Baseline, prepared: Prepared, chosen: Sequence[int], splits: Sequence[SplitName]) -> Decoded:
    """Return the predictions for the rows of all splits together, so that the baseline is fitted once."""
    data = prepared.data.splits
    train = select_rows(data["train"], chosen)
    rows = [row for split in splits for row in data[split]]
    return baseline.predict(train, rows, prepared.schema, prepared.recipe.training.seed)


def _predict_untuned(prepared: Prepared, processes: Processes, splits: Sequence[SplitName]) -> Decoded:
    """Return the predictions of the checkpoint before training, which is loaded again. New modules have random weights."""
    recipe, task = prepared.recipe, prepared.task
    folder, seed = prepared.checkpoint.folder, recipe.training.seed
    model = load_model(folder, task, prepared.schema, prepared.tokenizer, dropout=None, seed=seed).model
    if recipe.model.resize_embeddings:
        resize_embeddings(model, prepared.tokenizer)
    tokens = prepared.evaluation_tokens()
    model = model.to(processes.device)
    predictor = Predictor(processes, model, task, prepared.schema, prepared.tokenizer, tokens, alone=True)
    rows = [row for split in splits for row in prepared.data.splits[split]]
    return list(chain.from_iterable(predict_in_chunks(predictor, rows, recipe.data.max_length)))


def _predict_from_embeddings(
    baseline: EmbeddingBaseline,
    prepared: Prepared,
    chosen: Sequence[int],
    splits: Sequence[SplitName],
    embedder: Embedder,
    display: Display,
) -> Decoded:
    def embed(split: SplitName, rows: Sequence[int]) -> np.ndarray:
        return embedder.embed(
            split, rows, lambda done, total: display.count(f"           embedding {split}", done, total)
        )

    data = prepared.data.splits
    train = select_rows(data["train"], chosen)
    train_vectors = embed("train", chosen)
    vectors = np.concatenate([embed(split, range(len(data[split]))) for split in splits])
    if not (np.isfinite(train_vectors).all() and np.isfinite(vectors).all()):
        display.warn("note: no baseline on embeddings, because the checkpoint's embeddings are not finite")
        return []
    return baseline.predict(train, train_vectors, vectors, prepared.schema, prepared.recipe.training.seed)


def _training_rows(baseline: Baseline | EmbeddingBaseline | CheckpointBaseline, prepared: Prepared) -> list[int]:
    """Return the numbers of the training rows for a baseline: all rows, or a random sample within its limit."""
    rows = prepared.data.splits["train"]
    if isinstance(baseline, EmbeddingBaseline):
        features, sizes, limit = prepared.features["train"], np.zeros(len(rows), np.int64), MAX_TOKENS
        np.add.at(sizes, features.example_ids, features.lengths)
    elif isinstance(baseline, Baseline) and baseline.max_characters is not None:
        sizes, limit = np.array([_characters(row, prepared) for row in rows]), baseline.max_characters
    else:
        return list(range(len(rows)))
    if sizes.sum() <= limit:
        return list(range(len(rows)))
    order = np.random.default_rng((prepared.recipe.training.seed, _DRAW)).permutation(len(rows))
    n = int(np.searchsorted(sizes[order].cumsum(), limit, side="right"))
    return sorted(order[: max(n, 1)].tolist())


def _characters(row: Row, prepared: Prepared) -> int:
    return sum(map(len, input_texts(row, prepared.task)))
