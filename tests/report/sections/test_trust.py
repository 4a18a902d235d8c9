"""The page of a run with slices, calibration, groups and robustness; of an evaluation; and of words that are shaded."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from ft_toolkit.report.page import write_page
from ft_toolkit.report.run_files import read_run
from ft_toolkit.report.sections.trust import gap_line


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Page, trust_parts = _beside("test_page").Page, _beside("conftest").trust_parts


def add_everything(results, rows):
    for scores in results["scores"].values():
        scores |= trust_parts()
        scores["metrics"]["accuracy"]["detectable"] = 0.0321
    for row in rows:
        row["source"] = "mail"


@pytest.fixture
def everything(make_run):
    folder = make_run(change=add_everything)
    write_page(folder)
    return Page(folder / "report.html")


def test_a_page_with_everything_is_well_formed_and_reachable_by_keyboard(everything):
    assert "script" not in everything.tags
    links = [value for _, name, value in everything.attributes if name == "href"]
    assert {"#slices", "#calibration", "#groups", "#robustness"} <= set(links)
    assert all(link[1:] in everything.ids for link in links)
    assert len(everything.ids) == len(set(everything.ids))
    charts = re.findall(r'<svg class="[^>]*>', everything.source)
    assert all('role="img"' in chart and 'aria-label="' in chart for chart in charts)
    boxes = re.findall(r'<div class="box"[^>]*>', everything.source)
    assert boxes and all('tabindex="0"' in box for box in boxes)


def test_what_it_says(everything):
    text = everything.text
    for said in (
        "mail 30 0.7500 0.6000 to 0.9000 -0.3000 to -0.1000 worse",
        "web 6 0.5000 - - too few rows",
        "Not shown: 2 rarer values on 3 rows.",
        "divided by a temperature of 1.5, chosen on the validation rows, where the model was too sure of itself",
        "The expected calibration error is 0.1000; a perfectly calibrated model would show up to 0.3000",
        "no miscalibration is shown",
        "On test: abstaining on the least sure 20% would move accuracy on the rest from 0.8750 to 0.9300 "
        "(95% interval of the gain -0.0200 to 0.1000): no gain shown.",
        "The largest gap is 0.3000 (good: x 0.7000, y 0.4000; 95% interval of the difference 0.1000 to 0.5000). A gap is shown",
        "The groups of 'dialect' are not treated alike: a gap in demographic parity is shown.".replace("The", "the", 1),
        "Not compared: fewer than two groups have enough rows.",
        "typos 40 4 0.1000 0.0500 to 0.2000 0.8000 -0.2000 to 0.0000",
        "before bad after good id r1",
        "smallest difference these rows can show",
        "0.0321",
        "probability 0.800, of the true label 0.200 · source mail",
    ):
        assert said in text, said


def test_validation_says_that_its_temperature_flatters(make_run):
    def change(results, rows):
        add_everything(results, rows)
        results["scores"]["validation"]["calibration"]["fitted_here"] = True

    folder = make_run(change=change)
    write_page(folder)
    assert Page(folder / "report.html").text.count("was chosen on these very rows, so what follows flatters") == 1


def test_many_gaps_are_listed_and_a_gap_by_chance_is_not_shown():
    labels = [
        {
            "label": f"l{i}",
            "gap": 0.1,
            "low": -0.1,
            "high": 0.2,
            "highest": "x",
            "lowest": "y",
            "rates": {"x": 0.5, "y": 0.4},
        }
        for i in range(3)
    ]
    found = {"demographic_parity": {"p_value": 0.4, "shown": False, "labels": labels}}
    said = gap_line(found, "demographic_parity")
    assert said.startswith("The largest gap of 3 labels is 0.1000 (l0: x 0.5000, y 0.4000;")
    assert said.endswith(
        "No gap is shown: groups that differ by chance alone show as large a one in 40.0% of permutations."
    )


def test_the_page_of_an_evaluation_needs_no_training(make_run):
    folder = make_run(splits=("test",), change=add_everything)
    results = json.loads((folder / "results.json").read_text())
    for name in ("training", "reference", "reload_proof", "method", "bootstrap_samples"):
        results.pop(name)
    results["data"]["splits"].pop("train")
    results |= {"kind": "evaluation", "evaluation": {"seconds": 3.5, "rows_per_second": 210.4, "peak_memory_mib": 700}}
    results["scores"]["test"].pop("baselines")
    (folder / "results.json").write_text(json.dumps(results))
    for name in ("metrics.jsonl", "environment.json", "recipe.yaml", "model/inference.json"):
        (folder / name).unlink()
    write_page(folder)
    page = Page(folder / "report.html")
    assert "distilbert/distilbert-base-uncased , evaluated on 8 test rows of Inbox." in page.text
    assert "Evaluation 3.5 s" in page.text and "210.4 per second" in page.text and "700 MiB" in page.text
    for absent in ("Training", "best checkpoint", "baseline", "Optimizer steps", "Learning rate", "None"):
        assert absent not in page.text, absent
    # nor facts about the data, the machine or the command
    results = {
        key: value
        for key, value in results.items()
        if key not in ("data", "command", "greater_is_better", "evaluation")
    }
    (folder / "results.json").write_text(json.dumps(results))
    write_page(folder)
    assert not {"data", "cost", "environment", "repeat", "training"} & set(Page(folder / "report.html").ids)


def test_words_are_shaded_by_what_they_contributed(make_run):
    def change(results, rows):
        for row in rows:
            row["text"] = "awful <b>but</b> cheap" if row["id"] == "r1" else row["text"]

    folder = make_run(splits=("test",), change=change)
    words = [(0, 5, -0.5), (6, 16, 0.01), (17, 22, 1.0)]
    texts = {"text": [{"start": a, "end": b, "weight": weight} for a, b, weight in words]}
    line = {"split": "test", "id": "r1", "label": "good", "texts": texts}
    (folder / "attributions.jsonl").write_text(json.dumps(line) + "\n")
    assert read_run(folder).attributions == [line]
    write_page(folder)
    source = (folder / "report.html").read_text()
    assert '<span class="against" style="--share:0.50">awful</span> &lt;b&gt;but&lt;/b&gt; ' in source
    assert '<span class="toward" style="--share:1.00">cheap</span>' in source
    assert "most for good: cheap · most against good: awful" in source
    Page(folder / "report.html")
