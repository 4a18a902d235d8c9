"""A score against a published one, in words."""

from typing import Any

import pytest

from ft_toolkit.evaluation.compare.reference import judge_reference

REFERENCE = {"metric": "accuracy", "value": 0.91, "tolerance": 0.01, "split": "test", "source": "a paper"}


def results(**score: Any) -> dict[str, Any]:
    return {"scores": {"test": {"metrics": {"accuracy": score}}}} | ({"seeds": [1, 2]} if "mean" in score else {})


@pytest.mark.parametrize(
    ("score", "reached", "words"),
    [
        (
            {"value": 0.9132, "low": 0.894, "high": 0.93},
            True,
            "reached: test accuracy 0.9132 (95% 0.8940 to 0.9300) against 0.91 +- 0.01, published in: a paper. "
            "The interval contains the reference",
        ),
        (
            {"value": 0.88, "low": 0.86, "high": 0.9},
            False,
            "short by 0.0300, beyond the tolerance of 0.01: test accuracy 0.8800 (95% 0.8600 to 0.9000) against 0.91 +- 0.01, "
            "published in: a paper. The interval lies wholly below the reference",
        ),
        (
            {"mean": 0.905, "sd": 0.002, "min": 0.903, "max": 0.907, "n": 2},
            True,
            "reached: test accuracy 0.9050 (mean of 2 seeds, sd 0.0020, 0.9030 to 0.9070) against 0.91 +- 0.01, "
            "published in: a paper. The range of the seeds lies wholly below the reference",
        ),
    ],
)
def test_verdicts(score: dict[str, Any], reached: bool, words: str) -> None:
    verdict = judge_reference(REFERENCE, results(**score), greater_is_better=True)
    assert (verdict.reached, verdict.words) == (reached, words)


def test_where_less_is_better() -> None:
    score = {"value": 0.93, "low": 0.92, "high": 0.94}
    verdict = judge_reference(REFERENCE, results(**score), greater_is_better=False)
    assert verdict.reached is False and verdict.words.startswith("short by 0.0200, ")
    assert judge_reference(REFERENCE, results(**{**score, "value": 0.1}), greater_is_better=False).reached


def test_a_split_that_was_not_scored() -> None:
    verdict = judge_reference({**REFERENCE, "split": "validation"}, results(value=0.9), greater_is_better=True)
    assert verdict.reached is None and "no accuracy on validation" in verdict.words
