"""Perplexity, bits per byte and accuracy on sums per example."""

import math

import numpy as np
import pytest

from ft_toolkit.metrics import language
from ft_toolkit.tasks.text.byte_model import negative_log_likelihoods

SUMS = np.array([[2.0, 4, 10, 3], [6.0, 4, 6, 1]])


def test_the_sums_of_all_examples_are_taken_before_the_quotient():
    assert language.loss_per_token(SUMS, SUMS) == 1.0
    assert language.perplexity(SUMS, SUMS) == pytest.approx(math.e)
    assert language.bits_per_byte(SUMS, SUMS) == pytest.approx(0.5 / math.log(2))
    assert language.accuracy(SUMS, SUMS) == 0.5


@pytest.mark.parametrize("nll", [math.nan, math.inf, 1e6])
def test_infinite_scores_are_undefined(nll):
    sums = np.array([[nll, 1, 4, 0]])
    assert math.isnan(language.perplexity(sums, sums))
    assert math.isnan(language.loss_per_token(sums, sums)) == (not math.isfinite(nll))


def test_no_tokens_and_no_bytes_are_undefined():
    sums = np.array([[3.0, 0, 0, 0]])
    for fn in (language.perplexity, language.loss_per_token, language.bits_per_byte, language.accuracy):
        assert math.isnan(fn(sums, sums))


def byte_model_by_hand(train: list[str], text: str) -> float:
    """Witten-Bell interpolation with dictionaries, one byte at a time."""
    counts: dict[bytes, dict[int, int]] = {}
    for one in train:
        padded = b"\n" * 4 + one.encode()
        for place in range(4, len(padded)):
            for order in range(5):
                context = padded[place - order : place]
                seen = counts.setdefault(bytes([order]) + context, {})
                seen[padded[place]] = seen.get(padded[place], 0) + 1
    padded, total = b"\n" * 4 + text.encode(), 0.0
    for place in range(4, len(padded)):
        probability = 1 / 256
        for order in range(5):
            seen = counts.get(bytes([order]) + padded[place - order : place], {})
            if seen:
                kinds, n = len(seen), sum(seen.values())
                probability = (seen.get(padded[place], 0) + kinds * probability) / (n + kinds)
        total -= math.log(probability)
    return total


def test_the_byte_model_is_witten_bell():
    rng = np.random.default_rng(5)
    for _ in range(20):
        texts = ["".join(rng.choice(list("ab é\n"), rng.integers(1, 30))) for _ in range(8)]
        found = negative_log_likelihoods(texts[:5], texts[5:])
        assert found == pytest.approx([byte_model_by_hand(texts[:5], text) for text in texts[5:]])


def test_the_byte_model_sums_to_one():
    options = [chr(code) for code in range(128)]
    nats = negative_log_likelihoods(["banana", "bandana"], [f"ban{letter}" for letter in options])
    prefix = negative_log_likelihoods(["banana", "bandana"], ["ban"])[0]
    assert sum(math.exp(prefix - n) for n in nats) == pytest.approx(1 - 128 * unseen_byte(), abs=1e-9)


def unseen_byte() -> float:
    """Probability of one byte beyond ASCII after 'ban': no text has any, so all are alike."""
    texts = ["ban" + "é"]
    prefix = negative_log_likelihoods(["banana", "bandana"], ["ban"])[0]
    both = negative_log_likelihoods(["banana", "bandana"], texts)[0] - prefix
    second = byte_model_by_hand(["banana", "bandana"], "ban" + "é") - byte_model_by_hand(["banana", "bandana"], "ban")
    assert both == pytest.approx(second)
    # the second byte of é stands after contexts that were never seen: only order 0 speaks
    last = (7 * 0 + 4 / 256) / (13 + 4)
    return math.exp(-both) / last
