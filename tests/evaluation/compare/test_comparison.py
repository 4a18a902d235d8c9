"""ftk compare: what is shown, what is not, what is refused, and a page that escapes what comes from the data."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.compare.comparison import compare_runs
from ft_toolkit.evaluation.compare.finished_runs import read_runs
from ft_toolkit.report.comparison import print_comparison, write_comparison


def right(wrong, n=100):
    """Return which of n examples are right: all but those."""
    return ~np.isin(np.arange(n), list(wrong))


def compared(*folders, metric=None, columns=()):
    return compare_runs(read_runs(folders), metric=metric, columns=columns)


def test_a_difference_is_shown_and_counted(make_run, capsys):
    a, b = make_run("a", right(range(30))), make_run("b", right(range(10)))
    found = compared(a, b)
    one, apart = found.main.differences["b"], found.disagreements["b"]
    assert (one.value, one.test, one.outcome) == (pytest.approx(0.2), "McNemar's exact test", "better")
    assert one.p == one.corrected == 2 / 2**20
    assert (apart.better, apart.worse, apart.both, apart.neither) == (20, 0, 70, 10)
    assert 0 < one.low < 0.2 < one.high
    print_comparison(found)
    assert "b is better than a: accuracy +0.2000" in " ".join(capsys.readouterr().out.split())
    assert compared(b, a).main.differences["a"].outcome == "worse"


def test_what_is_not_shown_is_said_to_be_not_shown(make_run, capsys):
    found = compared(make_run("a", right([0, 1, 2])), make_run("b", right([3, 4])))
    assert found.main.differences["b"].outcome == "no difference shown"
    assert found.main.differences["b"].p == pytest.approx(1.0)
    print_comparison(found)
    assert "b against a: no difference shown" in capsys.readouterr().out


def test_more_comparisons_ask_for_more(make_run):
    """Six examples against none is p = 0.031: shown between two runs, not when it is the best of three."""
    base, other = make_run("base", right(range(6))), make_run("other", right([]))
    tries = [make_run(f"try{i}", right(range(6))) for i in range(2)]
    assert compared(base, other).main.differences["other"].outcome == "better"
    found = compared(base, other, *tries).main.differences["other"]
    assert (found.p, found.corrected, found.outcome) == (2 / 64, 3 * 2 / 64, "no difference shown")


def test_slices_classes_and_length(make_run):
    a, b = make_run("a", right(range(30))), make_run("b", right([]))
    found = compared(a, b, columns=["source", "length"])
    assert [(line.name, line.n) for line in found.slices["source"]] == [("mail", 50), ("chat", 45)]
    assert [line.differences["b"].outcome for line in found.slices["source"]] == ["better", "no difference shown"]
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
    assert any("order the labels" in note for note in found.notes)
    assert {line.name: line.differences["b"].value for line in found.classes} == {"bad": 0.0, "good": 0.0}


def test_what_cannot_be_compared_is_refused(make_run, tmp_path: Path):
    a, b = make_run("a", right([1])), make_run("b", right([2]))
    with pytest.raises(UsageError, match="are the same run"):
        compared(a, b, a.parent / "b" / ".." / "a")
    with pytest.raises(UsageError, match="at least two"):
        compared(a)
    with pytest.raises(UsageError, match=r"different test rows \(100, fingerprint"):
        compared(a, make_run("c", right([1]), text="other {}"))
    with pytest.raises(UsageError, match=r"no metric 'acuracy'.*Did you mean 'accuracy'"):
        compared(a, b, metric="acuracy")
    with pytest.raises(UsageError, match="no such finished run"):
        compared(a, tmp_path / "nothing")
    results = json.loads((b / "results.json").read_text())
    ner = {
        "task": "ner",
        "task_settings": {"name": "ner"},
        "schema": {"labels": ["x"], "stride": 2, "tagged_token": "first"},
    }
    (b / "results.json").write_text(json.dumps(results | ner))
    with pytest.raises(UsageError, match=r"run of text_classification, .*of ner"):
        compared(a, b)


def test_seeds_say_mean_and_spread(make_run, tmp_path: Path, capsys):
    for name, mean in (("one", 0.8), ("two", 0.85)):
        make_run(f"{name}/seed_1", right([1]))
        spread = {"mean": mean, "sd": 0.01, "min": mean, "max": mean, "n": 3}
        seeds = {
            "best": {"seed": 1, "folder": "seed_1"},
            "seeds": [1, 2, 3],
            "scores": {"test": {"metrics": {"accuracy": spread}}},
        }
        (tmp_path / name / "results.json").write_text(json.dumps(seeds))
    print_comparison(compared(tmp_path / "one", tmp_path / "two"))
    out = capsys.readouterr().out
    assert (
        "Over seeds: two 0.8500 ± 0.0100 (3 seeds), one 0.8000 ± 0.0100 (3 seeds); the means differ by +0.0500" in out
    )
    assert "the best on validation is compared (seed 1 of one, seed 1 of two)" in out


def test_the_page_is_whole_and_escapes(make_run, tmp_path: Path):
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
