"""report.html: well formed, self-contained, harmless whatever the data contains, and right about the numbers."""

import json
import re

import pytest

from ft_toolkit.report.numbers import number
from ft_toolkit.report.page import write_page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} </textarea>\u2028&amp;"
CASES = {
    "binary": {"kind": "binary"},
    "77 labels": {"kind": "many"},
    "regression": {"kind": "regression"},
    "multi-label": {"kind": "multi_label"},
    "only validation": {"kind": "binary", "splits": ("validation",)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_page_is_well_formed_self_contained_and_without_script(make_run, page_of, case):
    page = page_of(make_run(**case))
    assert "script" not in page.tags
    assert not {"link", "img", "iframe", "object", "embed", "form"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "srcset", "action") or a[1].startswith("on")]
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links and all(link.startswith("#") and link[1:] in page.ids for link in links)
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL).group(1)
    assert "@import" not in style and "url(" not in style and "http" not in style
    assert "prefers-color-scheme" in style and "@media print" in style
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tables_and_charts_are_accessible_without_mouse_or_sight(make_run, page_of, case):
    page = page_of(make_run(**case))
    headers = re.findall(r"<th\b[^>]*>", page.source)
    assert headers and all('scope="' in header for header in headers)
    charts = re.findall(r'<svg class="[^>]*>', page.source)
    assert charts and all('role="img"' in chart and 'aria-label="' in chart for chart in charts)
    boxes = re.findall(r'<div class="box"[^>]*>', page.source)
    assert boxes and all('tabindex="0"' in box and 'aria-label="' in box for box in boxes)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_table_is_in_a_box_that_scrolls(make_run, page_of, case):
    page = page_of(make_run(**case))
    assert page.tags.count("table") == len(re.findall(r'<div class="box"[^>]*>\s*<table', page.source))
    assert ".box::-webkit-scrollbar-thumb" in page.source and "overflow-x: auto" in page.source


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_score_of_results_json_is_on_the_page(make_run, page_of, case):
    folder = make_run(**case)
    text = page_of(folder).text
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for split, scores in results["scores"].items():
        n = scores["n"]
        assert f"{results['main_metric'].replace('_', ' ')} on {split}" in text
        for table in (scores["metrics"], *scores["baselines"].values()):
            for score in table.values():
                assert number(score["value"], n) in text
                if score["low"] is not None:
                    assert f"{number(score['low'], n)} to {number(score['high'], n)}" in text
    assert results["command"] in text
    assert results["data"]["fingerprint"] in text


def test_the_sections_follow_the_reading_order(make_full_run, page_of):
    page = page_of(make_full_run())
    order = "scores metrics examples classes confusion slices groups calibration robustness training data cost"
    assert page.ids == [*order.split(), "environment", "command"]
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links == [f"#{anchor}" for anchor in page.ids]


def test_the_page_begins_with_the_verdict(make_run, page_of):
    page = page_of(make_run())
    sentence = "No significant difference from the best baseline, tfidf: accuracy 0.88 (95% interval 0.62 to 1.00)"
    assert sentence in page.text
    assert page.text.index(sentence) < page.text.index("Scores")


def test_hostile_data_is_text(make_run, page_of):
    def change(results, rows):
        results["labels"] = ["bad", HOSTILE]
        results["data"]["warnings"] = [HOSTILE]
        results["data"]["title"] = results["name"] = results["command"] = HOSTILE
        results["reference"] = {"metric": "accuracy", "value": 0.9, "tolerance": 0.01, "split": "test"}
        results["reference"] |= {"source": HOSTILE, "found": 0.875, "reached": False}
        for scores in results["scores"].values():
            scores["per_class"][1]["label"] = HOSTILE
        for row in rows:
            row["text"] = HOSTILE

    page = page_of(make_run(change=change))
    assert "script" not in page.tags and "img" not in page.tags
    assert "<script" not in page.source and "{{ 7 * 7 }}" in page.text and "49" not in page.text
    assert "&lt;script&gt;alert(1)" in page.source


def test_hostile_labels_stay_in_the_confusion_grid(make_run, page_of):
    def change(results, rows):
        results["labels"][3] = HOSTILE

    page = page_of(make_run("many", change=change))
    assert "script" not in page.tags and "img" not in page.tags


def test_undefined_scores_are_dashes(make_run, page_of):
    def change(results, rows):
        for scores in results["scores"].values():
            scores["metrics"]["pearson"] = {"value": None, "low": None, "high": None}
        results["training"]["evaluations"] = [
            {"step": 20, "epoch": 0, "validation_loss": None, "validation_pearson": None}
        ]
        results["training"]["peak_memory_mib"] = results["training"]["tokens_per_second"] = None

    text = page_of(make_run("regression", change=change)).text
    assert "95% interval -" in text
    assert "Not comparable with the majority baseline: one of the two scores is undefined." in text
    assert "None" not in text and "nan" not in text.split()


def test_substitutions_and_warnings_come_before_the_training(make_run, page_of):
    def change(results, rows):
        results["substitutions"] = ["smoke: 4 steps; the scores mean nothing"]
        results["data"]["warnings"] = ["test: 2 of 8 texts are also in the training rows"]

    text = page_of(make_run(change=change)).text
    assert "Not a real result. No significant difference" in text
    assert text.index("the scores mean nothing") < text.index("accuracy on test 0.88") < text.index("2 of 8 texts")
    assert text.index("2 of 8 texts") < text.index("Learning rate")


def test_a_page_needs_only_results_json(make_run, page_of):
    folder = make_run()
    for name in ("metrics.jsonl", "predictions.jsonl", "environment.json", "recipe.yaml", "model/inference.json"):
        (folder / name).unlink()
    assert "accuracy on test" in page_of(folder).text


def test_the_page_of_an_evaluation_needs_no_training(make_full_run, page_of):
    folder = make_full_run(splits=("test",))
    results = json.loads((folder / "results.json").read_text())
    for name in ("training", "reference", "reload_proof", "method", "bootstrap_samples"):
        results.pop(name)
    results["data"]["splits"].pop("train")
    results |= {"kind": "evaluation", "evaluation": {"seconds": 3.5, "rows_per_second": 210.4, "peak_memory_mib": 700}}
    results["scores"]["test"].pop("baselines")
    (folder / "results.json").write_text(json.dumps(results))
    for name in ("metrics.jsonl", "environment.json", "recipe.yaml", "model/inference.json"):
        (folder / name).unlink()
    page = page_of(folder)
    assert "distilbert/distilbert-base-uncased, evaluated on 8 test rows of Inbox." in page.text
    assert "Evaluation 3.5 s" in page.text and "210.4 per second" in page.text and "700 MiB" in page.text
    for absent in ("Training", "checkpoint", "majority", "Optimizer steps", "Learning rate", "None"):
        assert absent not in page.text, absent
    # nor facts about the data, the machine or the command
    results = {
        key: value
        for key, value in results.items()
        if key not in ("data", "command", "greater_is_better", "evaluation")
    }
    (folder / "results.json").write_text(json.dumps(results))
    write_page(folder)
    assert not {"data", "cost", "environment", "command", "training"} & set(page_of(folder).ids)
