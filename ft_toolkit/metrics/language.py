"""Metrics of language models on sums per example: rows of [nll in nats, tokens, bytes, correct tokens].

The references have the same counts with nll 0 and all tokens correct, as for a perfect model. Scores over zero tokens or bytes,
and scores beyond the range of a float, are undefined (NaN).
"""

import math

import numpy as np

Array = np.ndarray
# The columns of both arrays.
NLL, TOKENS, BYTES, CORRECT = range(4)


def loss_per_token(predictions: Array, references: Array) -> float:
    """Return the negative log-likelihood per predicted token in nats."""
    return _ratio(predictions, NLL, TOKENS)


def perplexity(predictions: Array, references: Array) -> float:
    """Return exp(loss per token): the number of equally likely tokens with the same loss. Depends on the tokenizer."""
    return exp(loss_per_token(predictions, references))


def bits_per_byte(predictions: Array, references: Array) -> float:
    """Return the negative log-likelihood in bits per byte of UTF-8 text; comparable between tokenizers."""
    return _ratio(predictions, NLL, BYTES) / math.log(2)


def accuracy(predictions: Array, references: Array) -> float:
    """Return the share of tokens that the model predicts with the highest probability."""
    return _ratio(predictions, CORRECT, TOKENS)


def exp(value: float) -> float:
    """Return e**value, NaN if it is not finite."""
    return math.exp(value) if value < 709 else math.nan


def _ratio(sums: Array, numerator: int, denominator: int) -> float:
    total, count = float(sums[:, numerator].sum()), float(sums[:, denominator].sum())
    return total / count if count > 0 and math.isfinite(total) else math.nan
