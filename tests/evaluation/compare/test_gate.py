"""ftk gate: which conditions pass and fail, exit codes, metric names, and the reports for CI."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.core.errors import GateError, UsageError


def right(wrong, n=100):
    """Return which of n examples are right: all except `wrong`."""
    return ~np.isin(np.arange(n), list(wrong))


def gate(*words):
    """Return the printed lines of a gate and the error it raised."""
    done = CliRunner().invoke(app, ["gate", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, (GateError, UsageError)):
        raise done.exception
    return done.output, done.exception


def test_bounds(make_run):
    run = make_run("run", right(range(15)))
    out, error = gate(run, "--min", "accuracy=0.85", "--max-seconds", 13, "--max-size-mb", 2)
    assert error is None
    assert out.count("PASS") == 4
    assert "PASS  accuracy >= 0.85: 0.8500, 95% interval 0." in out
    out, error = gate(
        run, "--min", "accuracy=0.86", "--min-low", "accuracy=0.85", "--max-seconds", 12, "--max-size-mb", 1.9
    )
    assert isinstance(error, GateError)
    assert error.exit_code == 3
    assert (out.count("PASS"), out.count("FAIL")) == (1, 4)
    assert "4 of 5 conditions failed" in str(error)


def test_a_bound_holds_for_every_large_slice(make_run):
    run = make_run("run", right(range(15)))
    out, error = gate(run, "--min", "accuracy=0.8", "--slice", "source")
    assert "PASS  accuracy >= 0.8: " in out
    assert "FAIL  accuracy >= 0.8 where source = mail: 0.7000" in out
    assert "PASS  accuracy >= 0.8 where source = chat: 1.0000" in out
    assert "source: values with fewer than 20 rows are not checked: fax (5)" in out
    assert isinstance(error, GateError)
    assert "where source = fax" in gate(run, "--min", "accuracy=0.8", "--slice", "source", "--min-rows", 5)[0]


def test_a_perfect_score_has_a_lower_bound_below_it(make_run):
    run = make_run("run", right([], 20))
    out, _ = gate(run, "--min-low", "accuracy=0.83", "--min-low", "accuracy=0.85", "--min-low", "f1_macro=0.1")
    assert "PASS  lower bound of accuracy >= 0.83: 1.0000, 95% interval 0.8389 to 1.0000, n = 20" in out
    assert "FAIL  lower bound of accuracy >= 0.85: 1.0000, 95% interval 0.8389 to 1.0000, n = 20" in out
    assert "FAIL  lower bound of f1_macro >= 0.1: 1.0000 on every bootstrap resample, so there is no interval" in out
    assert "Use --min f1_macro=..., or --min-low with accuracy" in " ".join(out.split())


def test_a_drop_fails_if_it_is_significant_and_with_strict_unless_it_is_ruled_out(make_run):
    base, same = make_run("base", right(range(5))), make_run("same", right(range(1, 6)))
    much, same2 = make_run("much", right(range(30))), make_run("same2", right(range(5)))
    against = ("--baseline", base, "--max-drop", 0.005)
    out, error = gate(same, *against)
    assert error is None
    assert "neither significant nor ruled out, so the check passes" in out
    assert isinstance(gate(same, *against, "--strict")[1], GateError)
    out, error = gate(much, *against)
    assert isinstance(error, GateError)
    assert "a drop of 0.2500" in out
    assert "A drop of more than 0.005 is significant" in out
    assert gate(much, "--baseline", base, "--max-drop", 0.5, "--strict")[1] is None
    assert "above -0.0295, below +0.0295" in str(gate(same2, *against, "--strict")[1])  # no row of 100 differs
    assert gate(same2, "--baseline", base, "--max-drop", 0.03, "--strict")[1] is None
    assert gate(base, "--baseline", much, "--strict")[1] is None


def test_more_right_examples_never_fail_a_bound_that_fewer_pass(make_run):
    """Before, --min-low accuracy=0.93 passed 49 of 50 (0.940) and failed 50 of 50 (0.929)."""
    one, none = make_run("one", right([0], 50)), make_run("none", right([], 50))
    for bound, passed in ((0.93, (False, False)), (0.92, (False, True)), (0.89, (True, True))):
        errors = [gate(run, "--min-low", f"accuracy={bound}")[1] for run in (one, none)]
        assert tuple(error is None for error in errors) == passed


def test_values_equal_to_a_bound_pass_despite_rounding(make_run):
    """0.7 - 0.6 is 0.09999999999999998: the bounds are compared with a tolerance."""
    base, run = make_run("base", right(range(3), 10)), make_run("run", right(range(4), 10))
    assert gate(run, "--min", "accuracy=0.6000000000001", "--baseline", base, "--max-drop", 0.1)[1] is None


def test_the_scores_of_a_smoke_run_fail_without_allow_smoke(make_run):
    smoke = make_run("smoke", right([]), substitutions=["model: a tiny model"])
    out, error = gate(smoke, "--max-seconds", 60, "--max-size-mb", 10)
    assert error is None
    assert "note  a smoke run" in out
    assert "its scores mean nothing" in str(gate(smoke, "--min", "accuracy=0.5")[1])
    assert gate(smoke, "--min", "accuracy=0.5", "--allow-smoke")[1] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no condition given; add one"),
        (["--min", "acuracy=0.5"], "Did you mean 'accuracy'"),
        (["--min", "f2=0.5"], "no metric 'f2'; allowed: accuracy, f1_macro"),
        (["--min", "f1s=0.5"], "Did you mean 'f1'"),
        (["--min", "accuracy"], "must be METRIC=NUMBER"),
        (["--min", "accuracy=nan"], "must be METRIC=NUMBER"),
        (["--max", "accuracy=0.5"], "higher is better for accuracy. Use --min accuracy=0.5"),
        (["--min", "accuracy=0.5", "--slice", "sorce"], "Did you mean 'source'"),
        (["--min", "accuracy=0.5", "--split", "validation"], "no scores on split 'validation'; allowed: test"),
        (["--slice", "source", "--max-seconds", "9"], "--slice requires a bound"),
        (["--max-drop", "0.1", "--min", "accuracy=0.5"], "require a run to compare with"),
        (["--baseline", "RUN"], "are the same run"),
        (["--baseline", "nowhere"], "run folder not found"),
        (["--baseline", "RUN", "--alpha", "1"], "--alpha 1: must be greater than 0"),
        (["--max-seconds", "9", "--json", "no/such/folder/x.json"], "folder no/such/folder not found"),
    ],
)
def test_wrong_conditions_are_refused(make_run, words, said):
    run = make_run("run", right([1]))
    error = gate(run, *(run if word == "RUN" else word for word in words))[1]
    assert isinstance(error, UsageError)
    assert said in str(error)


def test_short_metric_names_work_and_are_explained(make_run):
    run = make_run("run", right(range(15)))
    out, error = gate(run, "--min", "f1=0.8")
    assert error is None
    assert "PASS  f1_macro >= 0.8: 0.85" in out and "note  --min: f1 means f1_macro here" in out
    out, error = gate(run, "--min-low", "Accuracy=0.7", "--baseline", make_run("base", right([1])), "--metric", "f1")
    assert "PASS  lower bound of accuracy >= 0.7" in out and "note  --metric: f1 means f1_macro here" in out
    assert isinstance(error, GateError) and "f1_macro at most 0 below base" in str(error)


def test_an_evaluation_is_checked_without_reload_check_and_training_time(make_run):
    run = make_run("evaluation", right(range(15)))
    results = json.loads((run / "results.json").read_text())
    for key in ("reload_proof", "training", "method"):
        del results[key]
    (run / "results.json").write_text(json.dumps(results | {"kind": "evaluation"}))
    out, error = gate(run, "--min", "accuracy=0.8")
    assert error is None and out.count("PASS") == 1 and "has no reload check" in out
    assert "is an evaluation, which has no training time" in str(gate(run, "--max-seconds", 9)[1])


def test_reports_for_ci(make_run, tmp_path: Path):
    run = make_run("run", right(range(15)))
    rows = (run / "predictions.jsonl").read_text().replace('"mail"', '"a|b <i>\\u0001"')
    (run / "predictions.jsonl").write_text(rows)
    files = ["--json", tmp_path / "g.json", "--junit", tmp_path / "g.xml", "--summary", tmp_path / "g.md"]
    (tmp_path / "g.md").write_text("before\n")
    gate(run, "--min", "accuracy=0.8", "--slice", "source", *files)
    found = json.loads((tmp_path / "g.json").read_text())
    assert (found["passed"], [check["passed"] for check in found["checks"]]) == (False, [True, True, False, True])
    assert found["checks"][1]["value"] == pytest.approx(0.85)
    suite = ElementTree.parse(tmp_path / "g.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase/failure"))) == ("4", "1", 1)
    text = (tmp_path / "g.md").read_text()
    assert text.startswith("before\n### Gate of run: 1 of 4 conditions failed")
    assert "a\\|b &lt;i&gt;" in text
