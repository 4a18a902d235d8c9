"""Score the tokens of texts with an exported language model, without torch.

The values are the same as in `token_scores.predict`. A step returns the logits of at most TOKENS_PER_BATCH tokens: longer texts
are read in parts, with the cache of the earlier parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.data.batches import evaluation_batches, evaluation_inputs, pad_inputs
from ft_toolkit.runtime.decoder_graph import DecoderGraph
from ft_toolkit.runtime.session import TOKENS_PER_BATCH, GraphSession
from ft_toolkit.tasks.base import Features, Task
from ft_toolkit.tasks.text import token_scores
from ft_toolkit.tasks.text.token_targets import IGNORED

Targets = Sequence[int]


def score_features(
    graph: DecoderGraph | GraphSession, task: Task, features: Features, schema: Any, pad_token_id: int
) -> list[np.ndarray | None]:
    """Return the value of `token_scores.predict` of each feature; None for a feature without targets."""
    examples = [evaluation_inputs(features, task, schema, i) for i in range(len(features.example_ids))]
    values: list[np.ndarray | None] = [
        None if targets is None else token_scores.no_scores(targets) for _, targets in examples
    ]
    if isinstance(graph, DecoderGraph):
        texts = [
            (i, start, end)
            for i, (inputs, targets) in enumerate(examples)
            if targets is not None
            for start, end in _texts_of(inputs)
            if any(target != IGNORED for target in targets[start + 1 : end])
        ]
        pieces = [examples[i][0]["input_ids"][start:end] for i, start, end in texts]
        labels = [[*examples[i][1][start + 1 : end], IGNORED] for i, start, end in texts]
        for (i, start, _), scores in zip(texts, _score_next(graph, pieces, labels, pad_token_id), strict=True):
            value = values[i]
            assert value is not None
            width = min(scores.shape[1] - 1, value.shape[1] - start - 1)
            value[:, start + 1 : start + 1 + width] = scores[:, :width]
        return values
    scored = [i for i, (_, targets) in enumerate(examples) if targets is not None]
    inputs = [examples[i][0] for i in scored]
    masked = _score_masked(graph, inputs, [examples[i][1] for i in scored], pad_token_id)
    for i, scores in zip(scored, masked, strict=True):
        value = values[i]
        assert value is not None
        value[:] = scores[:, : value.shape[1]]
    return values


def _texts_of(inputs: Mapping[str, Sequence[int]]) -> list[tuple[int, int]]:
    """Return start and end of each text of a feature: the texts of a packed block begin where the position ids restart."""
    n_tokens = len(inputs["input_ids"])
    starts = [i for i, position in enumerate(inputs.get("position_ids", ())) if position == 0] or [0]
    return list(zip(starts, [*starts[1:], n_tokens], strict=True))


def _score_next(
    graph: DecoderGraph, texts: Sequence[Sequence[int]], labels: Sequence[Targets], pad_token_id: int
) -> list[np.ndarray]:
    """Return nll and correctness, shape (2, tokens), of the label at each token of the texts."""
    values: list[np.ndarray] = [np.empty(0)] * len(texts)
    if not texts:
        return values
    lengths = list(map(len, texts))
    for numbers in evaluation_batches(lengths, tokens_per_batch=TOKENS_PER_BATCH, world_size=1)[0]:
        padded = pad_inputs([{"input_ids": texts[i]} for i in numbers], pad_token_id).inputs
        ids, mask = padded["input_ids"], padded["attention_mask"]
        padded_labels = np.full(ids.shape, IGNORED)
        for row, i in enumerate(numbers):
            padded_labels[row, : len(labels[i])] = labels[i]
        scores = np.empty((len(ids), 2, ids.shape[1]), dtype=np.float32)
        state, rows = graph.start(mask[:, :0]), np.arange(len(ids))
        size = max(1, TOKENS_PER_BATCH // len(ids))
        for start in range(0, ids.shape[1], size):
            part = slice(start, start + size)
            state.mask = mask[:, : start + size]
            kept = np.flatnonzero((padded_labels[:, part] != IGNORED).any(0))
            # the cache needs every token, and a graph at least one position
            logits = graph.step(state, ids[:, part], rows, kept if len(kept) else np.array([0]))
            scores[:, :, part] = token_scores.no_scores(padded_labels[:, part])
            if len(kept):
                scores[:, :, start + kept] = token_scores.score_logits(logits, padded_labels[:, start + kept])
        for row, i in enumerate(numbers):
            values[i] = scores[row, :, : lengths[i]]
    return values


def _score_masked(
    graph: GraphSession, inputs: Sequence[Mapping[str, Sequence[int]]], targets: Sequence[Targets], pad_token_id: int
) -> list[np.ndarray]:
    """Return nll and correctness, shape (2, tokens), of the target at each token of the inputs."""
    values: list[np.ndarray] = [np.empty(0)] * len(inputs)
    if not inputs:
        return values
    lengths = [len(each["input_ids"]) for each in inputs]
    for numbers in evaluation_batches(lengths, tokens_per_batch=TOKENS_PER_BATCH, world_size=1)[0]:
        padded = pad_inputs([inputs[i] for i in numbers], pad_token_id).inputs
        padded_labels = np.full(padded["input_ids"].shape, IGNORED)
        for row, i in enumerate(numbers):
            padded_labels[row, : lengths[i]] = targets[i]
        scores = token_scores.score_logits(graph.run(padded)["logits"], padded_labels)
        for row, i in enumerate(numbers):
            values[i] = scores[row, :, : lengths[i]]
    return values
