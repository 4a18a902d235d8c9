"""Loss and scores of language models at single tokens, for language modelling, text generation and dialogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ft_toolkit.metrics import language
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Batch, Comparability, ScoredRun
from ft_toolkit.tasks.text.token_targets import IGNORED, at_positions, flat_positions

if TYPE_CHECKING:
    import torch

# Positions whose float32 probabilities over the vocabulary are in memory at the same time.
CHUNK = 1024
# Decoders whose attention in transformers stops where position ids restart (tested for each). Rows of other decoders are padded
# instead of packed.
PACKS = (
    "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "olmo2", "phi", "qwen2", "qwen3", "smollm3",
)  # fmt: skip
# Scores over all predicted tokens of a split.
METRICS: Mapping[str, Metric] = {
    "perplexity": Metric(language.perplexity, greater_is_better=False, depends_on_tokenizer=True, short_names=("ppl",)),
    "loss_per_token": Metric(
        language.loss_per_token, best=0.0, greater_is_better=False, depends_on_tokenizer=True, short_names=("loss",)
    ),
    "bits_per_byte": Metric(language.bits_per_byte, best=0.0, greater_is_better=False),
    "accuracy": Metric(language.accuracy, is_share=True, depends_on_tokenizer=True, short_names=("acc",)),
}


def _labels(batch: Batch, *, is_causal: bool) -> torch.Tensor:
    """Return the token that the output at each position predicts, shape (features, width): the next or the masked token."""
    from torch.nn import functional

    return functional.pad(batch.targets[:, 1:], (0, 1), value=IGNORED) if is_causal else batch.targets


def logit_positions(batch: Batch, *, is_causal: bool) -> torch.Tensor:
    """Return the positions at which a token is predicted."""
    return _labels(batch, is_causal=is_causal) != IGNORED


def _chunks(values: torch.Tensor) -> Any:
    return values.split(CHUNK)  # type: ignore[no-untyped-call] # torch has no types


def loss_sum(outputs: Any, batch: Batch, *, is_causal: bool) -> torch.Tensor:
    """Return the cross entropy summed over the targets, computed in float32, a chunk of positions at a time."""
    import torch
    from torch.nn import functional

    positions = logit_positions(batch, is_causal=is_causal)
    logits, labels = at_positions(outputs.logits, positions), _labels(batch, is_causal=is_causal)[positions]
    chunks = zip(_chunks(logits), _chunks(labels), strict=True)
    losses = [functional.cross_entropy(chunk.float(), chunk_labels, reduction="sum") for chunk, chunk_labels in chunks]
    return torch.stack(losses).sum()


def predict(outputs: Any, batch: Batch, *, is_causal: bool) -> list[np.ndarray]:
    """Return per feature an array (2, tokens), float32: the nll of each token in nats, and whether it is the most likely one.

    At positions without a prediction these are 0 and -1. Positions are those of the targets, up to the last target.
    """
    import torch
    from torch.nn import functional

    labels, positions = _labels(batch, is_causal=is_causal), logit_positions(batch, is_causal=is_causal)
    flat = labels.flatten()
    nll, correct = torch.zeros(flat.shape, device=flat.device), torch.full(flat.shape, -1.0, device=flat.device)
    chunks = zip(_chunks(flat_positions(positions)), _chunks(at_positions(outputs.logits, positions)), strict=True)
    for chunk, logits in chunks:
        scores = logits.float()
        nll[chunk] = functional.cross_entropy(scores, flat[chunk], reduction="none")
        correct[chunk] = (scores.argmax(-1) == flat[chunk]).float()
    both = torch.stack([nll.view_as(labels), correct.view_as(labels)], dim=1)
    if is_causal:  # shift from the position that predicts to the predicted position
        first = torch.tensor([0.0, -1.0], device=both.device).view(1, 2, 1).expand(len(both), 2, 1)
        both = torch.cat([first, both], 2)
    lengths = [int(row.nonzero().max()) + 1 if row.any() else 0 for row in (batch.targets != IGNORED).cpu()]
    return [values[:, :length] for values, length in zip(both.cpu().numpy(), lengths, strict=True)]


def no_scores(targets: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the values of `predict` without a predicted token: 0 and -1, shape (..., 2, tokens).

    `targets` have shape (tokens,) or (features, tokens). Tokens after the last target of a single feature are left out.
    """
    array = np.asarray(targets)
    if array.ndim == 1:
        predicted = np.flatnonzero(array != IGNORED)
        array = array[: predicted[-1] + 1 if len(predicted) else 0]
    return np.stack([np.zeros(array.shape, np.float32), np.full(array.shape, -1, np.float32)], axis=-2)


def score_logits(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return nll and correctness of each label, shape (rows, 2, tokens), as `predict` does with torch.

    `logits` have shape (rows, tokens, vocabulary), `labels` (rows, tokens). At IGNORED labels the values are 0 and -1.
    """
    values, where = no_scores(labels), labels != IGNORED
    scored, wanted = logits[where], labels[where]
    if len(scored):
        largest = scored.max(1)
        sums = np.exp(scored - largest[:, None]).sum(1, dtype=np.float64)
        values[:, 0][where] = largest + np.log(sums) - scored[np.arange(len(wanted)), wanted]
        values[:, 1][where] = scored.argmax(1) == wanted
    return values


def prediction(sums: np.ndarray) -> dict[str, Any]:
    """Return a prediction from [nll, tokens, bytes, correct tokens]; undefined scores are None."""
    nll, tokens, n_bytes, correct = sums.tolist()
    row = sums[None]
    scores = {"perplexity": language.perplexity(row, row), "bits_per_byte": language.bits_per_byte(row, row)}
    return {
        "nll": nll if math.isfinite(nll) else None,
        "tokens": int(tokens),
        "bytes": int(n_bytes),
        "correct": int(correct),
        **{name: score if math.isfinite(score) else None for name, score in scores.items()},
    }


# The scores of a generated text whose true text was not scored, such as the text of a baseline.
NOT_SCORED: Mapping[str, Any] = prediction(np.array([np.nan, 0, 0, 0]))


def to_arrays(decoded: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 4) of nll, tokens, bytes and correct tokens: of the model, and of a perfect model."""
    names = ("nll", "tokens", "bytes", "correct")
    predictions = np.array([[row[name] for name in names] for row in decoded], np.float64)  # None: NaN
    references = predictions.copy()
    references[:, language.NLL] = 0
    references[:, language.CORRECT] = references[:, language.TOKENS]
    return predictions, references


def next_token_loss_sum(outputs: Any, batch: Batch, schema: Any) -> torch.Tensor:
    """Return `loss_sum` of a causal model, for `Task.loss_sum`."""
    return loss_sum(outputs, batch, is_causal=True)


def next_token_positions(batch: Batch, schema: Any) -> torch.Tensor | None:
    """Return `logit_positions` of a causal model, for `Task.logit_positions`; None for a batch without targets."""
    return logit_positions(batch, is_causal=True) if batch.targets.numel() else None


def next_token_scores(outputs: Any, batch: Batch, schema: Any) -> list[np.ndarray]:
    """Return `predict` of a causal model, for `Task.predict`."""
    return predict(outputs, batch, is_causal=True)


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Skip scores per token when the texts were tokenized differently."""
    tokens, other_tokens = (run.predictions[:, language.TOKENS] for run in (first, other))
    if np.array_equal(tokens, other_tokens, equal_nan=True):
        return Comparability()
    per_token = tuple(name for name, metric in METRICS.items() if metric.depends_on_tokenizer)
    return Comparability(None, per_token, "The runs use different tokenizers, so only bits per byte can be compared.")
