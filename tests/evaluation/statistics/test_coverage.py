"""A small deterministic part of benchmarks/coverage.py, with wide bands: intervals and tests hold their stated rates."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.trains

_PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("simulated_coverage", _PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("claim", ["share_coverage", "slice_difference_coverage"])
def test_95_percent_intervals_cover_at_about_that_rate(coverage, claim):
    """Before, 0.875 for an accuracy (n = 50) and 0.61 for a slice (n = 20)."""
    for rate in coverage.CLAIMS[claim](150):
        assert 0.90 <= rate.value <= 0.99, rate


def test_rows_of_one_document_are_covered_by_intervals_that_resample_documents(coverage):
    """With rows as independent, 0.69 of the intervals covered the score, and 0.33 of the differences were false."""
    rates = {rate.claim: rate.value for rate in coverage.clustered_rows(40, coverage.CLUSTER_CELLS[:1])}
    assert rates["interval of an accuracy, documents resampled"] >= 0.85
    assert rates["interval of an accuracy, rows as independent"] <= 0.85
    assert rates["false difference of two models, documents resampled"] <= 0.15


def test_the_gate_is_wrong_at_most_at_the_stated_rate(coverage):
    """Enumerated, not simulated. With normal quantiles 0.073, and 0.60 (n = 10) with the bootstrap."""
    rates = list(coverage.gate_errors(1, cells=[(10, 0.1, (0.2, 0.4)), (100, 0.02, (0.05,))]))
    assert len(rates) == 4
    for rate in rates:
        assert 0.005 < rate.value <= 0.0515, rate


def test_headline_interval_and_table_agree(coverage):
    for rate in coverage.contradictions(10, trials=3):
        assert rate.hits == 0, rate


def test_the_gain_of_a_learning_curve_is_covered(coverage):
    """Before, 0.79 for an exponent of 0.6 without a floor (n = 300)."""
    rates = list(coverage.learning_curve_gain(100))
    assert sum(rate.hits for rate in rates) >= 0.9 * sum(rate.trials for rate in rates)


@pytest.mark.slow
def test_calibration_and_gaps_hold_on_rows_of_one_document(coverage):
    rates = list(coverage.clustered_breakdown(30, coverage.BREAKDOWN_CELLS[:1]))
    for rate in rates:
        if rate.claim.endswith("documents resampled"):
            assert abs(rate.value - rate.nominal) <= 0.15, rate
