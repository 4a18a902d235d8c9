"""Metrics of language models on sums per example: rows of [nll in nats, tokens, bytes, tokens predicted right].

An example's row of the references has the same counts with nll 0 and every token right: what a model that is certain of the
truth would get. Sums over no tokens or no bytes, and numbers beyond a float, are undefined (NaN).
"""

import math

import numpy as np

Array = np.ndarray
# The columns of both arrays.
NLL, TOKENS, BYTES, CORRECT = range(4)


def loss_per_token(predictions: Array, references: Array) -> float:
    """Negative log likelihood per predicted token, in nats."""
    return _ratio(predictions, NLL, TOKENS)


def perplexity(predictions: Array, references: Array) -> float:
    """exp of the loss per token: among how many tokens, equally likely, the model chooses. Depends on the tokenizer."""
    return exp(loss_per_token(predictions, references))


def bits_per_byte(predictions: Array, references: Array) -> float:
    """Negative log likelihood in bits per byte of UTF-8 text: comparable between tokenizers."""
    return _ratio(predictions, NLL, BYTES) / math.log(2)


def accuracy(predictions: Array, references: Array) -> float:
    """Share of the predicted tokens to which the model gives the highest probability."""
    return _ratio(predictions, CORRECT, TOKENS)


def exp(value: float) -> float:
    """Return e**value, NaN where that is no finite number."""
    return math.exp(value) if value < 709 else math.nan


def _ratio(sums: Array, above: int, below: int) -> float:
    total, count = float(sums[:, above].sum()), float(sums[:, below].sum())
    return total / count if count > 0 and math.isfinite(total) else math.nan
