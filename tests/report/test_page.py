"""report.html: well formed, self-contained, harmless whatever the data says, and right about the numbers."""

import json
import re
from html.parser import HTMLParser

import pytest

from ft_toolkit.report.charts import Series, line_chart
from ft_toolkit.report.page import write_page
from ft_toolkit.report.run_files import compare, number, verdict

VOID = {"meta", "br", "hr", "img", "input", "link"}
SELF_CLOSED = {"line", "circle", "path", "rect"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} </textarea>\u2028&amp;"


class Page(HTMLParser):
    """Checks the nesting while it reads, and keeps text, tags and attributes."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.tags, self.attributes, self.ids = [], [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSED, tag
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page_of(folder):
    write_page(folder)
    return Page(folder / "report.html")


CASES = {
    "binary": {"kind": "binary"},
    "77 labels": {"kind": "many"},
    "regression": {"kind": "regression"},
    "multi-label": {"kind": "multi_label"},
    "only validation": {"kind": "binary", "splits": ("validation",)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_page_is_well_formed_self_contained_and_without_script(make_run, case):
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
def test_tables_and_charts_can_be_used_without_a_mouse_or_eyes(make_run, case):
    page = page_of(make_run(**case))
    headers = re.findall(r"<th\b[^>]*>", page.source)
    assert headers and all('scope="' in header for header in headers)
    charts = re.findall(r'<svg class="[^>]*>', page.source)
    assert charts and all('role="img"' in chart and 'aria-label="' in chart for chart in charts)
    boxes = re.findall(r'<div class="box"[^>]*>', page.source)
    assert boxes and all('tabindex="0"' in box and 'aria-label="' in box for box in boxes)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_score_of_results_json_stands_on_the_page(make_run, case):
    folder = make_run(**case)
    text = page_of(folder).text
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for split, scores in results["scores"].items():
        assert f"{results['main_metric'].replace('_', ' ')} on {split}" in text
        for table in (scores["metrics"], *scores["baselines"].values()):
            for found in table.values():
                assert number(found["value"]) in text
                if found["low"] is not None:
                    assert f"{number(found['low'])} to {number(found['high'])}" in text
    assert results["command"] in text
    assert results["data"]["fingerprint"] in text


def test_verdicts_say_what_the_intervals_allow(make_run):
    text = page_of(make_run(splits=("validation",))).text
    assert "Better than majority: on the same examples the difference is 0.1000 to 0.6000." in text
    assert "No difference to tfidf shown: on the same examples the difference is -0.1000 to 0.3000." in text
    assert "There are no test rows" in text


@pytest.mark.parametrize(
    ("low", "high", "greater", "outcome", "said"),
    [
        (0.1, 0.3, True, "better", "Better than majority: on the same examples the difference is 0.1000 to 0.3000."),
        (0.1, 0.3, False, "worse", "lower is better"),
        (-0.3, -0.1, False, "better", "Better than majority"),
        (-0.3, -0.1, True, "worse", "Worse than majority"),
        (0.0, 0.3, True, "no significant difference", "No difference to majority shown"),
        (None, None, True, "unknown", "undefined"),
    ],
)
def test_compare(low, high, greater, outcome, said):
    lead = {"low": low, "high": high}
    found = compare(lead, greater_is_better=greater)
    assert found == outcome
    assert said in verdict(found, "majority", lead, greater_is_better=greater)


def test_hostile_data_is_text(make_run):
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

    folder = make_run(change=change)
    page = page_of(folder)
    assert "script" not in page.tags and "img" not in page.tags
    assert "<script" not in page.source and "{{ 7 * 7 }}" in page.text and "49" not in page.text
    assert "&lt;script&gt;alert(1)" in page.source


def test_hostile_labels_do_not_leave_the_grid(make_run):
    def change(results, rows):
        results["labels"][3] = HOSTILE

    page = page_of(make_run("many", change=change))
    assert "script" not in page.tags and "img" not in page.tags


def test_many_labels_give_a_grid_and_the_largest_confusions_instead_of_a_table(make_run):
    page = page_of(make_run("many", splits=("test",)))
    assert 'class="matrix"' not in page.source
    assert page.tags.count("rect") == 77 + 2
    assert "intent_03 intent_05 4 31%" in page.text
    assert page.text.index("intent_03 intent_05") < page.text.index("intent_07 intent_01")


def test_few_labels_give_a_confusion_table_with_shares(make_run):
    page = page_of(make_run(splits=("test",)))
    assert "bad 3 75% 1 25%" in page.text and "good 0 0% 4 100%" in page.text


def test_null_scores_show_a_dash(make_run):
    def change(results, rows):
        for scores in results["scores"].values():
            scores["metrics"]["pearson"] = {"value": None, "low": None, "high": None}
        results["training"]["evaluations"] = [
            {"step": 20, "epoch": 0, "validation_loss": None, "validation_pearson": None}
        ]
        results["training"]["peak_memory_mib"] = results["training"]["tokens_per_second"] = None

    text = page_of(make_run("regression", change=change)).text
    assert "95% interval -" in text
    assert "Not comparable with majority: one of the two scores is undefined." in text
    assert "None" not in text.replace("None of", "") and "nan" not in text


def test_smoke_substitutions_and_warnings_stand_before_the_training(make_run):
    def change(results, rows):
        results["substitutions"] = ["smoke: 4 steps; the scores mean nothing"]
        results["data"]["warnings"] = ["test: 2 of 8 texts also stand in the training rows"]

    text = page_of(make_run(change=change)).text
    assert "Not a real result." in text
    assert text.index("the scores mean nothing") < text.index("accuracy on test") < text.index("2 of 8 texts")
    assert text.index("2 of 8 texts") < text.index("Learning rate")


def test_reference_and_proof_are_said(make_run):
    def change(results, rows):
        results["reference"] = {"metric": "accuracy", "value": 0.913, "tolerance": 0.01, "split": "validation"}
        results["reference"] |= {"source": "a paper", "found": 0.875, "reached": False}

    text = page_of(make_run(change=change)).text
    assert "Reference: accuracy 0.9130 on validation, within 0.01 (a paper). Not reached: 0.8750 here." in text
    assert "the same predictions for 8 test rows (largest difference 1e-06, allowed 0.0001)" in text


def test_a_resumed_run_may_have_logged_a_step_twice(make_run):
    folder = make_run(splits=("test",))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10, "loss": 0.11, "learning_rate": 1e-4}) + "\n")
    page = page_of(folder)
    training_loss = re.search(r'<path class="plain" d="([^"]*)"', page.source).group(1)
    assert re.findall(r"[ML]([\d.]+) ", training_loss) == ["250.0", "500.0", "1000.0"]


def test_a_page_needs_only_results_json(make_run):
    folder = make_run()
    for name in ("metrics.jsonl", "predictions.jsonl", "environment.json", "recipe.yaml", "model/inference.json"):
        (folder / name).unlink()
    assert "accuracy on test" in page_of(folder).text


def test_errors_of_numbers_are_ordered_by_size_and_show_both_texts(make_run):
    text = page_of(make_run("regression", splits=("test",))).text
    assert "Largest errors" in text
    assert "text a cat text pair a dog true 1.5 predicted 4 off by 2.5" in text
    assert text.index("off by 2.5") < text.index("off by 0.75")


def test_a_line_breaks_where_a_value_is_missing():
    chart = line_chart([Series("loss", [(0, 1.0), (1, None), (2, 0.0)], "strong")], (0, 2), label="loss", height=200)
    assert re.search(r'd="([^"]*)"', chart).group(1).count("M") == 2


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.0000"), (0.56789, "0.5679"), (-0.25, "-0.2500"), (1.5e-5, "1.5e-05")]
)
def test_number(value, text):
    assert number(value) == text
