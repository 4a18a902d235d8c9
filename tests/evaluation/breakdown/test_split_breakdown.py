"""Slices, calibration and gaps between groups, against values computed by hand, fairlearn, and chance."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ft_toolkit.evaluation.breakdown.calibration import calibration
from ft_toolkit.evaluation.breakdown.groups import group_gaps
from ft_toolkit.evaluation.breakdown.slices import MAX_VALUES, NO_VALUE, length_bands, score_slices
from ft_toolkit.evaluation.breakdown.split_breakdown import break_down_split
from ft_toolkit.evaluation.statistics.scores import Scores, ScoringSetup, score_interval
from ft_toolkit.metrics import classification
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import find_clusters
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text_classification import TASK, Schema, Settings

SCHEMA = Schema("single_label_classification", ("bad", "good"), None, 0.5)
SHARE = {"accuracy": Metric(classification.accuracy, is_mean=True)}


def rows_of(values: list[Any], text: str = "a b") -> list[dict[str, Any]]:
    return [{"id": str(i), "text": text, "source": value} for i, value in enumerate(values)]


def setup_of(schema: Schema = SCHEMA, **changes: Any) -> ScoringSetup:
    settings = Settings(problem_type=schema.problem_type)
    metrics = {"accuracy": Metric(classification.accuracy)}
    return replace(ScoringSetup(TASK, settings, schema, metrics, "accuracy", samples=200, seed=1), **changes)


def sliced(rows: list[dict[str, Any]], right: Any, columns: tuple[str, ...] = ("source",)) -> list[dict[str, Any]]:
    references = np.ones(len(rows), int)
    predictions = np.where(right, 1, 0)
    return score_slices(rows, predictions, references, setup_of(samples=300, slices=columns))


def test_each_value_has_a_score_and_a_difference_from_the_rest() -> None:
    right = np.array([True] * 90 + [False] * 10 + [True] * 20 + [False] * 30)
    (table,) = sliced(rows_of(["web"] * 100 + ["mail"] * 50), right)
    web, mail = table["values"]
    assert (table["column"], web["value"], web["n"], web["score"]) == ("source", "web", 100, 0.9)
    assert (mail["n"], mail["score"]) == (50, 0.4)
    assert 0.3 < web["difference"]["low"] < 0.5 < web["difference"]["high"] < 0.7
    assert mail["difference"]["high"] == pytest.approx(-web["difference"]["low"], abs=0.1)
    assert web["low"] < 0.9 < web["high"]


def test_small_slices_and_equal_resamples_have_no_interval() -> None:
    right = np.array([True] * 15 + [False, True] * 20 + [True, False, True])
    (table,) = sliced(rows_of(["sure"] * 15 + ["web"] * 40 + [None] * 3), right)
    found = {one["value"]: one for one in table["values"]}
    nothing = {"low": None, "high": None}
    assert found["sure"]["score"] == 1.0 and found["sure"]["low"] is None and found["sure"]["difference"] == nothing
    assert found[NO_VALUE]["n"] == 3 and found[NO_VALUE]["low"] is None
    assert found["web"]["low"] < 0.5 < found["web"]["high"]


def test_the_most_frequent_values_are_shown_and_the_others_counted() -> None:
    values = [f"v{i}" for i in range(MAX_VALUES + 5)] + ["often"] * 3
    (table,) = sliced(rows_of(values), np.arange(len(values)) % 2 == 0)
    assert table["values"][0]["value"] == "often" and len(table["values"]) == MAX_VALUES
    assert table["left_out"] == {"values": 6, "rows": 6}


def test_length_bands_are_quarters_that_keep_ties_together() -> None:
    bands, order = length_bands([1, 2, 3, 4, 5, 6, 7, 8])
    assert order == ["1 to 2", "3 to 4", "5 to 6", "7 to 8"] and bands[0] == bands[1] == "1 to 2"
    assert length_bands([3] * 9 + [1200])[1] == ["3", "1,200"]
    assert length_bands([5, 5])[1] == ["5"]


def test_lengths_are_in_words_or_in_characters_without_spaces() -> None:
    words = [{"id": str(i), "text": "w " * (i + 1)} for i in range(8)]
    assert sliced(words, np.ones(8, bool), columns=())[0]["column"] == "length in words"
    han = [{"id": str(i), "text": "字" * (i + 1)} for i in range(8)]
    assert sliced(han, np.ones(8, bool), columns=())[0]["column"] == "length in characters"


def decoded_of(confidence: Any, label: Any) -> list[dict[str, Any]]:
    return [
        {"label": SCHEMA.labels[i], "score": p, "probabilities": {SCHEMA.labels[i]: p, SCHEMA.labels[1 - i]: 1 - p}}
        for p, i in zip(confidence, label, strict=True)
    ]


def test_calibration_of_an_overconfident_model() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0.55, 0.95, 500)
    answers = rng.integers(0, 2, 500)
    truth = np.where(rng.random(500) < said, answers, 1 - answers)
    setup = setup_of(replace(SCHEMA, temperature=3.0))
    found = calibration(decoded_of(said, answers), answers, truth, setup, fitted_here=False)
    for name in ("ece", "brier", "nll"):
        assert found[name]["after"]["value"] < found[name]["before"]["value"] and found[name]["change"]["high"] < 0
    assert found["ece"]["after"]["value"] < found["ece"]["after"]["chance"]
    assert found["ece"]["before"]["value"] > found["ece"]["before"]["chance"]
    assert sum(one["n"] for one in found["bins"]["after"]) == 500
    assert all(one["low"] <= one["accuracy"] <= one["high"] for one in found["bins"]["after"])
    assert found["risk_coverage"][-1] == [1.0, pytest.approx((answers != truth).mean())]
    assert found["aurc"]["perfect"] < found["aurc"]["low"] < found["aurc"]["value"] < found["aurc"]["unordered"]
    fifth = found["abstaining"][1]
    kept = np.argsort(-said)[:400]
    assert fifth["accuracy"]["value"] == pytest.approx((answers == truth)[kept].mean(), abs=0.003)
    assert 0 < fifth["gain"]["low"] < fifth["gain"]["value"] < fifth["gain"]["high"]


def test_multi_label_calibration_is_by_decision() -> None:
    schema = Schema("multi_label_classification", ("a", "b"), None, 0.5)
    decoded = [
        {"labels": ["a"], "probabilities": {"a": 0.9, "b": 0.2}},
        {"labels": [], "probabilities": {"a": 0.3, "b": 0.4}},
    ]
    answers, truth = np.array([[1, 0], [0, 0]]), np.array([[1, 0], [1, 0]])
    found = calibration(decoded, answers, truth, setup_of(schema, samples=100), fitted_here=True)
    assert sum(one["n"] for one in found["bins"]["after"]) == 4 and found["fitted_here"]
    assert found["brier"]["after"]["value"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.16) / 4)
    # the first set, with confidence 0.9 * 0.8, is correct; the second, with 0.7 * 0.6, is not
    assert found["risk_coverage"] == [[0.5, 0.0], [1.0, 0.5]]


def gaps_of(values: list[str], predictions: Any, references: Any, labels: tuple[str, ...] = ("bad", "good")) -> Any:
    setup = setup_of(replace(SCHEMA, labels=labels), groups=["source"])
    (found,) = group_gaps(rows_of(values), np.array(predictions), np.array(references), setup)
    return found


def test_gaps_equal_those_of_fairlearn() -> None:
    from fairlearn.metrics import demographic_parity_difference, equal_opportunity_difference

    rng = np.random.default_rng(3)
    values = rng.choice(["x", "y", "z"], 400).tolist()
    predictions, references = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    found = gaps_of(values, predictions, references)
    expected = [
        measure(references, predictions, sensitive_features=values)
        for measure in (demographic_parity_difference, equal_opportunity_difference)
    ]
    for name, value in zip(("demographic_parity", "equal_opportunity"), expected, strict=True):
        (one,) = found[name]["labels"]
        assert one["label"] == "good" and one["gap"] == pytest.approx(value)
        assert one["rates"][one["highest"]] - one["rates"][one["lowest"]] == pytest.approx(value)


def test_a_real_gap_is_significant() -> None:
    rng = np.random.default_rng(0)
    values = ["x"] * 200 + ["y"] * 200
    references = rng.integers(0, 2, 400)
    predictions = np.where((np.arange(400) >= 200) & (rng.random(400) < 0.4), 0, references)  # y is refused more often
    found = gaps_of(values, predictions, references)
    assert found["groups"] == [{"group": name, "n": 200, "compared": True} for name in "xy"]
    for name in ("demographic_parity", "equal_opportunity"):
        assert found[name]["shown"] and found[name]["p_value"] < 0.01
        assert (found[name]["labels"][0]["highest"], found[name]["labels"][0]["lowest"]) == ("x", "y")
        assert found[name]["labels"][0]["low"] > 0


def test_the_widest_of_many_gaps_has_no_interval() -> None:
    """Before, it excluded 0 in 93% of simulations with 20 groups that do not differ."""
    rng = np.random.default_rng(3)
    predictions, references = rng.integers(0, 2, (2, 300))
    for groups, has_interval in ((2, True), (5, False)):
        gap = gaps_of([str(i % groups) for i in range(300)], predictions, references)["demographic_parity"]["labels"][0]
        assert (gap["low"] is not None) == (gap["high"] is not None) == has_interval


def test_the_interval_of_a_calibration_error_agrees_with_its_chance() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        positive = 1 / (1 + np.exp(-2 * rng.standard_normal(100)))
        truth = (rng.random(100) < positive).astype(int)
        decoded = [{"probabilities": {"bad": 1 - p, "good": p}} for p in positive.tolist()]
        record = calibration(decoded, (positive > 0.5).astype(int), truth, setup_of(SCHEMA), fitted_here=False)
        error = record["ece"]["after"]
        assert (error["low"] == 0) or error["value"] > error["chance"]


def test_random_groups_have_a_significant_gap_at_the_rate_of_the_level() -> None:
    shown = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        references, values = rng.integers(0, 4, 120), rng.choice(["x", "y", "z"], 120).tolist()
        predictions = np.where(rng.random(120) < 0.7, references, rng.integers(0, 4, 120))
        found = gaps_of(values, predictions, references, labels=("a", "b", "c", "d"))
        assert max(one["gap"] for one in found["demographic_parity"]["labels"]) > 0
        shown += found["demographic_parity"]["shown"]
    assert shown <= 6  # 40 at 5% expect 2, and 7 or more have a probability of 0.3%


def test_the_significance_is_corrected_for_columns_and_kinds_of_gap() -> None:
    rng = np.random.default_rng(2)
    references = rng.integers(0, 2, 400)
    predictions = np.where(rng.random(400) < 0.9, references, 1 - references)
    columns = {f"c{i}": rng.choice(["x", "y"], 400).tolist() for i in range(4)}
    rows = [{"text": "a", **{name: values[i] for name, values in columns.items()}} for i in range(400)]
    tables = group_gaps(rows, predictions, references, setup_of(groups=tuple(columns)))
    gaps = [table[kind] for table in tables for kind in ("demographic_parity", "equal_opportunity")]
    smallest = min(gaps, key=lambda gap: gap["p_value"])
    assert all(gap["tests"] == 8 and gap["corrected"] >= gap["p_value"] for gap in gaps)
    assert smallest["corrected"] == pytest.approx(min(1.0, 8 * smallest["p_value"]))
    assert [gap["shown"] for gap in gaps] == [gap["corrected"] < 0.05 for gap in gaps]


def test_small_groups_are_listed_but_not_compared() -> None:
    found = gaps_of(["x"] * 30 + ["y"] * 9, [0, 1, 1] * 13, [0, 1, 0] * 13)
    assert [one["compared"] for one in found["groups"]] == [True, False]
    assert found["demographic_parity"] is None and found["equal_opportunity"] is None
    # y has enough rows, but too few that are truly good
    found = gaps_of(["x"] * 30 + ["y"] * 30, [0, 1, 1] * 20, [0, 1, 1] * 10 + [0] * 25 + [1] * 5)
    assert found["demographic_parity"] is not None and found["equal_opportunity"] is None


def test_regression_has_only_slices() -> None:
    rows = [{"id": str(i), "text": "w " * (i + 1)} for i in range(20)]
    values = np.linspace(0, 1, 20)
    settings = Settings(problem_type="regression")
    setup = ScoringSetup(
        TASK,
        settings,
        Schema("regression", ("score",), None, 0.5),
        TASK.metrics(settings),
        "pearson",
        samples=100,
        seed=1,
    )
    scores = Scores(20, {}, {}, {}, {}, values, values[::-1])
    found = break_down_split([{"score": value} for value in values], rows, scores, setup, fitted_here=False)
    assert found.keys() == {"slices"} and len(found["slices"][0]["values"]) == 4


def test_rows_of_one_document_that_are_alike_are_named() -> None:
    documents = [f"d{i // 10}" for i in range(300)]
    setup = setup_of(slices=("source",), metrics=SHARE)

    def first_table(values: list[str], right: Any) -> dict[str, Any]:
        return score_slices(rows_of(values), np.where(right, 1, 0), np.ones(300, int), setup)[0]

    rng = np.random.default_rng(0)
    alike, independent = np.repeat(rng.random(30) < 0.6, 10), rng.random(300) < 0.6
    assert first_table(documents, alike)["correlation"] == pytest.approx(1)
    assert "correlation" not in first_table(documents, independent)
    few = ["web" if i < 150 else "mail" for i in range(300)]  # kinds of rows, not groups
    assert "correlation" not in first_table(few, np.arange(300) < 150)


@pytest.mark.parametrize("n_documents", [10, 40])
def test_slices_of_clustered_rows_resample_documents(n_documents: int) -> None:
    numbers = np.repeat(np.arange(n_documents), 12)
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(n_documents) < 0.6, 12).astype(int)
    rows = rows_of(["web" if i % 12 < 6 else "mail" for i in range(len(numbers))])
    ones = np.ones(len(numbers), int)
    tables = [
        score_slices(rows, right, ones, setup_of(samples=300, slices=("source",), metrics=SHARE, clusters=clusters))
        for clusters in (None, find_clusters("doc", numbers))
    ]
    (plain, _), (grouped, _) = (table[0]["values"] for table in tables)
    assert grouped["score"] == plain["score"]
    assert grouped["high"] - grouped["low"] > 1.8 * (plain["high"] - plain["low"])
    assert grouped["difference"] == {"low": None, "high": None}  # equal in every document


def test_the_interval_of_a_slice_is_that_of_a_score_on_its_rows() -> None:
    rng = np.random.default_rng(4)
    references = rng.integers(0, 30, 240)
    predictions = np.where(rng.random(240) < 0.8, references, rng.integers(0, 30, 240))
    labels = tuple(f"l{i}" for i in range(30))
    metric = Metric(classification.averaged("f1", "macro"), is_share=True, is_macro=True)
    setup = setup_of(Schema("single_label_classification", labels, None, 0.5), metrics={"m": metric}, main_metric="m")
    rows = rows_of(["web"] * 140 + ["mail"] * 100)
    table = score_slices(rows, predictions, references, replace(setup, slices=("source",)))[0]
    web = next(row for row in table["values"] if row["value"] == "web")
    arrays = predictions[:140], references[:140]
    resamples = resample({"m": metric.fn}, *arrays, samples=200, seed=setup.seed)["m"]
    assert {"low": web["low"], "high": web["high"]} == score_interval(metric, *arrays, resamples)
    assert web["low"] > np.quantile(resamples, 0.025)  # resamples of a macro average are too low


@pytest.mark.parametrize("documents", [12, 40])
def test_calibration_intervals_are_wider_if_the_rows_of_a_document_are_equal(documents: int) -> None:
    """Each row is repeated 10 times in its document: the intervals are about those of one row per document."""
    rng = np.random.default_rng(0)
    said = np.repeat(rng.uniform(0.55, 0.95, documents), 10)
    truth = np.repeat(rng.random(documents) < 0.75, 10).astype(int)
    answers, numbers = np.ones(len(said), int), np.repeat(np.arange(documents), 10)
    clusters = find_clusters("document", numbers)
    independent, clustered = (
        calibration(decoded_of(said, answers), answers, truth, setup_of(clusters=each), fitted_here=False)
        for each in (None, clusters)
    )

    def width(interval: Any) -> float:
        return float(interval["high"] - interval["low"])

    half = [record["abstaining"][2] for record in (independent, clustered)]
    assert half[0]["accuracy"]["value"] == half[1]["accuracy"]["value"]
    assert width(half[1]["accuracy"]) > 1.8 * width(half[0]["accuracy"])
    assert clustered["ece"]["after"]["chance"] > 1.8 * independent["ece"]["after"]["chance"]
    assert width(clustered["nll"]["after"]) > 1.8 * width(independent["nll"]["after"])
    for before, after in zip(independent["bins"]["after"], clustered["bins"]["after"], strict=True):
        assert before["accuracy"] == after["accuracy"] and width(after) > width(before)


@pytest.mark.parametrize("documents", [12, 80])
def test_a_gap_between_groups_of_documents_is_tested_by_document(documents: int) -> None:
    """All rows of a document have the same answer, so 20 rows are as informative as one."""
    numbers = np.repeat(np.arange(documents), 20)
    group = np.repeat(np.arange(documents) % 2, 20)
    is_positive = np.arange(documents) // 2 % 8 < np.where(np.arange(documents) % 2, 5, 6)
    predictions = np.repeat(is_positive, 20).astype(int)
    rows, references = rows_of(np.array(["x", "y"])[group].tolist()), np.ones(len(numbers), int)
    gaps = []
    for clusters in (None, find_clusters("document", numbers)):
        setup = setup_of(groups=["source"], clusters=clusters)
        gaps.append(group_gaps(rows, predictions, references, setup)[0]["demographic_parity"])
    independent, clustered = gaps
    assert independent["labels"][0]["gap"] == clustered["labels"][0]["gap"] > 0.1
    assert independent["p_value"] < 0.05 < 0.2 < clustered["p_value"]
    ends = independent["labels"][0], clustered["labels"][0]
    assert ends[0]["low"] > 0 > ends[1]["low"] and ends[1]["high"] > ends[0]["high"]


def test_groups_within_a_document_are_permuted_within_it() -> None:
    """Documents differ, but not the two groups: the test uses the differences within documents."""
    rng = np.random.default_rng(5)
    numbers, group = np.repeat(np.arange(20), 20), np.tile([0, 1], 200)
    rows = rows_of(np.array(["x", "y"])[group].tolist())
    predictions = (rng.random(400) < np.where(numbers % 2, 0.85, 0.0) + 0.12 * group).astype(int)
    setup = setup_of(groups=["source"], clusters=find_clusters("document", numbers))
    gap = group_gaps(rows, predictions, np.ones(400, int), setup)[0]["demographic_parity"]
    assert gap["p_value"] < 0.05 and gap["labels"][0]["low"] > 0


@pytest.mark.parametrize("clusters", [None, find_clusters("document", np.arange(80) // 8)])
def test_two_groups_with_equal_rates_have_an_interval_around_0(clusters: Any) -> None:
    predictions = np.tile([1, 1, 0, 0], 20)
    setup = setup_of(groups=["source"], clusters=clusters)
    table = group_gaps(rows_of(["x", "y"] * 40), predictions, np.ones(80, int), setup)[0]
    gap = table["demographic_parity"]["labels"][0]
    assert gap["gap"] == 0 and {gap["highest"], gap["lowest"]} == {"x", "y"}
    assert clusters is not None or gap["low"] < 0 < gap["high"]
