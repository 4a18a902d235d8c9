"""The verdict on a score and a published one."""

from typing import Any

import pytest

from ft_toolkit.core.run_records import RunResults, SeedsResults
from ft_toolkit.evaluation.compare.reference import judge_reference
from ft_toolkit.recipe.sections import ReferenceSection

REFERENCE = ReferenceSection(metric="accuracy", value=0.91, tolerance=0.01, split="test", source="a paper")


def results(**score: Any) -> RunResults | SeedsResults:
    """Return the results of a run, or of a multi-seed run if the score has a mean."""
    common = {"name": "x", "task": "text_classification", "substitutions": [], "model": "m", "method": "full"}
    common |= {"main_metric": "accuracy", "scores": {"test": {"n": 9, "metrics": {"accuracy": score}}}}
    if "mean" not in score:
        return RunResults.model_validate(common | {"training": {"steps": 3, "seconds": 1.0}})
    best = {"seed": 1, "folder": "seed_1", "model": "seed_1/model", "chosen_by": "validation loss", "value": 0.5}
    return SeedsResults.model_validate(common | {"seeds": [1, 2], "best": best, "runs": [], "seconds": 2.0})


@pytest.mark.parametrize(
    ("score", "reached", "text"),
    [
        (
            {"value": 0.9132, "low": 0.894, "high": 0.93},
            True,
            "reached: test accuracy 0.9132 (95% interval 0.8940 to 0.9300), published 0.91 ± 0.01 (a paper). "
            "The interval contains the published value",
        ),
        (
            {"value": 0.88, "low": 0.86, "high": 0.9},
            False,
            "not reached, short by 0.0300: test accuracy 0.8800 (95% interval 0.8600 to 0.9000), published 0.91 ± 0.01 "
            "(a paper). The interval is entirely below the published value",
        ),
        (
            {"mean": 0.905, "sd": 0.002, "min": 0.903, "max": 0.907, "n": 2},
            True,
            "reached: test accuracy 0.9050 (mean of 2 seeds, sd 0.0020, 0.9030 to 0.9070), published 0.91 ± 0.01 (a paper). "
            "The range of the seeds is entirely below the published value",
        ),
    ],
)
def test_verdicts(score: dict[str, Any], reached: bool, text: str) -> None:
    verdict = judge_reference(REFERENCE, results(**score), greater_is_better=True)
    assert (verdict.reached, verdict.text) == (reached, text)


def test_where_lower_is_better() -> None:
    score = {"value": 0.93, "low": 0.92, "high": 0.94}
    verdict = judge_reference(REFERENCE, results(**score), greater_is_better=False)
    assert verdict.reached is False and verdict.text.startswith("not reached, short by 0.0200: ")
    assert judge_reference(REFERENCE, results(**{**score, "value": 0.1}), greater_is_better=False).reached


def test_a_split_that_was_not_scored() -> None:
    verdict = judge_reference(
        REFERENCE.model_copy(update={"split": "validation"}),
        results(value=0.9, low=0.8, high=1.0),
        greater_is_better=True,
    )
    assert verdict.reached is None and "no accuracy on validation" in verdict.text
