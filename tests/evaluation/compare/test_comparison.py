"""ftk compare: significance, slices, refused comparisons, and a page that escapes values from the data."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.compare.comparison import compare_runs
from ft_toolkit.evaluation.compare.finished_runs import read_runs
from ft_toolkit.evaluation.statistics.paired_shares import score_test_p
from ft_toolkit.report.comparison import print_comparison, sentences, write_comparison

pytestmark = pytest.mark.trains


def right(wrong, n=100):
    """Return which of n examples are right: all except `wrong`."""
    return ~np.isin(np.arange(n), list(wrong))


def compared(*folders, metric=None, columns=()):
    return compare_runs(read_runs(folders), metric=metric, columns=columns)


def test_a_significant_difference_is_reported_with_counts(make_run, capsys):
    a, b = make_run("a", right(range(30))), make_run("b", right(range(10)))
    found = compared(a, b)
    one, apart = found.main.differences["b"], found.disagreements["b"]
    assert (one.value, one.test, one.outcome) == (pytest.approx(0.2), "score test for paired shares", "better")
    assert one.p == one.corrected == score_test_p(0, 20, 100)
    assert (apart.better, apart.worse, apart.both, apart.neither) == (20, 0, 70, 10)
    assert 0 < one.low < 0.2 < one.high
    print_comparison(found)
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"b beats a by 1\d\.\d to 2\d\.\d points of accuracy \(95% interval; difference \+20\.0; score test", out
    )
    assert "Only b is right on 20 examples, only a on 0." in out
    assert compared(b, a).main.differences["a"].outcome == "worse"


def test_a_difference_that_is_not_significant_is_reported_as_such(make_run, capsys):
    found = compared(make_run("a", right([0, 1, 2])), make_run("b", right([3, 4])))
    assert found.main.differences["b"].outcome == "no significant difference"
    assert found.main.differences["b"].p == score_test_p(2, 3, 100)
    print_comparison(found)
    out = " ".join(capsys.readouterr().out.split())
    assert "No significant difference between b and a: +1.0 points of accuracy (95% interval -" in out
    assert "Smallest detectable difference: 6." in out and "points of accuracy (5% level, 80% power)" in out


def test_the_tables_fit_into_80_columns(make_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    runs = [
        make_run("a", right(range(30))),
        make_run("support-inbox-lora", right(range(28))),
        make_run("b" * 40, right([])),
    ]
    comparison = compared(*runs, columns=["source"])
    print_comparison(comparison)
    prose = {*sentences(comparison), *comparison.notes}
    tables = [line for line in capsys.readouterr().out.splitlines() if line not in prose]
    assert max(len(line) for line in tables) <= 80
    assert any(re.fullmatch(r"support-inbox-lora .* p = \d\.\d{3} +not significant *", line) for line in tables)


def test_more_comparisons_need_a_smaller_p_value(make_run):
    """Five examples against none is p = 0.020: significant between two runs, not among three comparisons."""
    base, other = make_run("base", right(range(5))), make_run("other", right([]))
    tries = [make_run(f"try{i}", right(range(5))) for i in range(2)]
    assert compared(base, other).main.differences["other"].outcome == "better"
    found = compared(base, other, *tries).main.differences["other"]
    assert (found.p, found.corrected) == pytest.approx((0.02005, 0.06015), abs=1e-4)
    assert found.outcome == "no significant difference" and found.low < 0 < found.high
    assert found.level == pytest.approx(1 - 0.05 / 3)


def test_headline_and_table_have_one_verdict_which_the_interval_explains(make_run, tmp_path: Path):
    """Before, the headline used McNemar's test and the table corrected for five equal metrics: 'better' and 'no difference'."""
    for b, c in ((6, 0), (7, 1), (9, 3), (12, 4), (14, 6)):
        folders = [make_run(f"{name}{b}", right(wrong)) for name, wrong in (("a", range(b)), ("b", range(b, b + c)))]
        comparison = compared(*folders)
        difference = comparison.main.differences[f"b{b}"]
        shown = difference.outcome != "no significant difference"
        assert shown == (difference.low > 0 or difference.high < 0) == (difference.corrected < 0.05)
        rows = {row.name: row.differences[f"b{b}"] for row in comparison.metrics}
        assert rows.pop("accuracy") == difference
        assert {row.outcome for row in rows.values()} == {row.p for row in rows.values()} == {None}
        write_comparison(tmp_path / "page.html", comparison, "ftk compare a b")
        assert (tmp_path / "page.html").read_text().count(f'class="outcome">{difference.outcome}<') == 1


def test_slices_classes_and_length(make_run):
    a, b = make_run("a", right(range(30))), make_run("b", right([]))
    found = compared(a, b, columns=["source", "length"])
    assert [(line.name, line.n) for line in found.slices["source"]] == [("mail", 50), ("chat", 45)]
    assert [line.differences["b"].outcome for line in found.slices["source"]] == [None, None]
    assert [line.differences["b"].low > 0 for line in found.slices["source"]] == [True, False]
    assert found.skipped["source"] == ["fax"]
    assert [line.name for line in found.slices["length"]] == ["2 words"]
    assert {line.name: line.n for line in found.classes} == {"bad": 50, "good": 50}
    with pytest.raises(UsageError, match=r"no column 'sorce'.*Did you mean 'source'"):
        compared(a, b, columns=["sorce"])


def test_the_positive_class_must_be_the_same(make_run):
    a, b = make_run("a", right([1, 2])), make_run("b", right([1, 2]), labels=("good", "bad"))
    found = compared(a, b)
    assert found.main.differences["b"].value == 0
    assert "f1_binary" not in [line.name for line in found.metrics]
    assert any("different label orders" in note for note in found.notes)
    assert {line.name: line.differences["b"].value for line in found.classes} == {"bad": 0.0, "good": 0.0}


def test_runs_that_cannot_be_compared_are_refused(make_run, tmp_path: Path):
    a, b = make_run("a", right([1])), make_run("b", right([2]))
    with pytest.raises(UsageError, match="are the same run"):
        compared(a, b, a.parent / "b" / ".." / "a")
    with pytest.raises(UsageError, match="Name two or more"):
        compared(a)
    with pytest.raises(UsageError, match=r"different test rows \(100 rows with fingerprint"):
        compared(a, make_run("c", right([1]), text="other {}"))
    with pytest.raises(UsageError, match=r"no metric 'acuracy'.*Did you mean 'accuracy'"):
        compared(a, b, metric="acuracy")
    with pytest.raises(UsageError, match="run folder not found"):
        compared(a, tmp_path / "nothing")
    results = json.loads((b / "results.json").read_text())
    ner = {
        "task": "ner",
        "task_settings": {"name": "ner"},
        "schema": {"labels": ["x"], "stride": 2, "tagged_token": "first"},
    }
    (b / "results.json").write_text(json.dumps(results | ner))
    with pytest.raises(UsageError, match=r"run of text_classification, .* is a run of ner"):
        compared(a, b)


def test_multi_seed_runs_report_mean_and_spread(make_run, tmp_path: Path, capsys):
    for name, mean in (("one", 0.8), ("two", 0.85)):
        make_run(f"{name}/seed_1", right([1]))
        spread = {"mean": mean, "sd": 0.01, "min": mean, "max": mean, "n": 3}
        seeds = json.loads((tmp_path / name / "seed_1" / "results.json").read_text()) | {
            "best": {
                "seed": 1,
                "folder": "seed_1",
                "model": "seed_1/model",
                "chosen_by": "validation loss",
                "value": 0.1,
            },
            "seeds": [1, 2, 3],
            "scores": {"test": {"n": 100, "metrics": {"accuracy": spread}}},
            "runs": [],
            "seconds": 30.0,
        }
        (tmp_path / name / "results.json").write_text(json.dumps(seeds))
    print_comparison(compared(tmp_path / "one", tmp_path / "two"))
    out = capsys.readouterr().out
    assert (
        "Over seeds: two 0.8500 ± 0.0100 (3 seeds), one 0.8000 ± 0.0100 (3 seeds); the means differ by +0.0500" in out
    )
    assert "its best seed on validation (seed 1 of one, seed 1 of two)" in out


def test_the_page_is_self_contained_and_escapes_the_data(make_run, tmp_path: Path):
    evil = "<script>alert({})</script>"
    a, b = make_run("a", right(range(30)), text=evil), make_run("b", right([]), text=evil)
    page = tmp_path / "page.html"
    write_comparison(page, compared(a, b, columns=["source"]), "ftk compare a b")
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(0)" in text
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    for anchor in re.findall(r'href="#(.*?)"', text):
        assert f'id="{anchor}"' in text
    assert "no difference</text>" in text
    assert "accuracy, f1 micro, precision micro, recall micro" in text  # one row for equal scores


def test_settings_that_differ_are_shown(make_run, tmp_path: Path, capsys):
    a, b = make_run("a", right([1])), make_run("b", right([2]))
    for folder, rate, method in ((a, 5e-5, "{name: full}"), (b, 1e-4, "{name: lora, r: 8}")):
        (folder / "recipe.yaml").write_text(
            f"training: {{learning_rate: {rate}, seed: 5}}\nmethod: {method}\nhub: {{repo: me/{folder.name}}}\n"
        )
    comparison = compared(a, b)
    print_comparison(comparison)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (
        ["setting", "that", "differs", "a", "b"],
        ["training.learning_rate", "5.0e-05", "0.0001"],
        ["method.name", "full", "lora"],
        ["method.r", "-", "8"],
    ):
        assert line in lines
    assert comparison.as_json()["settings"][0] == {
        "setting": "training.learning_rate",
        "values": {"a": "5.0e-05", "b": "0.0001"},
    }
    write_comparison(tmp_path / "page.html", comparison, "ftk compare a b")
    assert "<code>method.r</code></th><td>-</td><td>8</td>" in (tmp_path / "page.html").read_text()
    (b / "recipe.yaml").write_text("training: [")
    with pytest.raises(UsageError, match=r"recipe\.yaml: not valid YAML at line 1"):
        compared(a, b)


def test_an_evaluation_can_be_compared_with_a_run(make_run, tmp_path: Path):
    a, b = make_run("a", right(range(30))), make_run("b", right([]))
    results = json.loads((b / "results.json").read_text())
    for key in ("reload_proof", "training", "method"):
        del results[key]
    (b / "results.json").write_text(json.dumps(results | {"kind": "evaluation"}))
    comparison = compared(a, b)
    assert comparison.main.differences["b"].outcome == "better"
    assert comparison.as_json()["runs"][1]["method"] is None
    write_comparison(tmp_path / "page.html", comparison, "ftk compare a b")
