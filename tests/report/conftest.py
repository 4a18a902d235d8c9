"""Small run folders written by hand, without a model, and a reader of their pages."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ft_toolkit.report.page import write_page

COMMAND = "ftk run demo --output runs/demo training.max_steps=20"


def score(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def baseline(value, low, high, lead=(None, None)):
    return {**score(value, low, high), "lead": {"low": lead[0], "high": lead[1]}}


def _classes(labels, matrix):
    table = []
    for i, label in enumerate(labels):
        hits, predicted, true = matrix[i][i], sum(row[i] for row in matrix), sum(matrix[i])
        precision, recall, f1 = (
            (hits / predicted if predicted else 0),
            hits / max(true, 1),
            2 * hits / (predicted + true),
        )
        table.append({"label": label, "precision": precision, "recall": recall, "f1": f1, "support": true})
    return table


def _binary():
    matrix = [[3, 1], [0, 4]]
    labels = ["bad", "good"]
    split = {
        "n": 8,
        "metrics": {"accuracy": score(0.875, 0.625, 1.0), "f1_macro": score(0.873015873, 0.6, 1.0)},
        "per_class": _classes(labels, matrix),
        "confusion_matrix": matrix,
        "baselines": {
            "majority": {"accuracy": baseline(0.5, 0.25, 0.6, (0.1, 0.6)), "f1_macro": baseline(0.3333333, 0.2, 0.4)},
            "tfidf": {"accuracy": baseline(0.75, 0.5, 1.0, (-0.1, 0.3)), "f1_macro": baseline(0.74, 0.5, 1.0)},
        },
    }
    rows = [
        ("fine", "good", "good", 0.9),
        ("awful", "bad", "good", 0.8),
        ("dull", "bad", "bad", 0.7),
        ("bright", "good", "good", 0.6),
    ]
    predictions = [
        {"id": f"r{i}", "text": text, "gold": gold, "label": label, "score": p}
        | {"probabilities": {label: p, "bad" if label == "good" else "good": round(1 - p, 6)}}
        for i, (text, gold, label, p) in enumerate(rows)
    ]
    return labels, split, predictions, "single_label_classification"


def _many():
    labels = [f"intent_{i:02d}" for i in range(77)]
    matrix = [[9 if i == j else 0 for j in range(77)] for i in range(77)]
    matrix[3][5], matrix[7][1] = 4, 2
    _, split, _, problem = _binary()
    split |= {"n": 699, "per_class": _classes(labels, matrix), "confusion_matrix": matrix}
    predictions = [
        {"id": "1", "text": "x", "gold": "intent_03", "label": "intent_05", "score": 0.9, "probabilities": {}}
    ]
    return labels, split, predictions, problem


def _regression():
    split = {
        "n": 3,
        "metrics": {"pearson": score(0.91, 0.8, 0.97), "mean_squared_error": score(0.25, 0.1, 0.5)},
        "baselines": {
            "majority": {"pearson": baseline(None, None, None), "mean_squared_error": baseline(2.0, 1.5, 2.5)}
        },
    }
    texts = [("a cat", "a dog", "1.5", 4.0), ("rain", "rain", "5", 5.0), ("tea", "mud", 0.0, 0.75)]
    predictions = [
        {"id": str(i), "text": one, "text_pair": two, "gold": gold, "score": found}
        for i, (one, two, gold, found) in enumerate(texts)
    ]
    return ["score"], split, predictions, "regression"


def _multi_label():
    labels = ["art", "law", "tax"]
    split = {
        "n": 2,
        "metrics": {"f1_micro": score(0.8, 0.5, 1.0), "accuracy": score(0.5, 0.0, 1.0)},
        "per_class": [{"label": name, "precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2} for name in labels],
        "baselines": {"majority": {"f1_micro": baseline(0.1, 0.0, 0.2), "accuracy": baseline(0.0, 0.0, 0.0)}},
    }
    predictions = [
        {"id": "1", "text": "a contract", "gold": ["law", "tax"], "labels": ["law"]}
        | {"probabilities": {"art": 0.1, "law": 0.9, "tax": 0.02}},
        {"id": "2", "text": "a painting", "gold": ["art"], "labels": ["art", "tax"]}
        | {"probabilities": {"art": 0.95, "law": 0.1, "tax": 0.6}},
        {"id": "3", "text": "nothing", "gold": [], "labels": [], "probabilities": {"art": 0.1, "law": 0.1, "tax": 0.1}},
    ]
    return labels, split, predictions, "multi_label_classification"


KINDS = {"binary": _binary, "many": _many, "regression": _regression, "multi_label": _multi_label}


def _results(labels, split, splits):
    main = next(iter(split["metrics"]))
    facts = {"rows": 40, "empty_texts": 0, "repeated_texts": 1, "also_in_training": 0, "tokens": 900, "longest": 31}
    facts |= {"rows_cut": 2, "tokens_cut": 7}
    evaluations = [
        {"step": step, "epoch": 0, "validation_loss": loss, f"validation_{main}": value}
        for step, loss, value in ((10, 0.6, 0.7), (20, 0.5, split["metrics"][main]["value"]))
    ]
    return {
        "name": "demo",
        "task": "text_classification",
        "command": COMMAND,
        "substitutions": [],
        "model": "distilbert/distilbert-base-uncased",
        "method": "full",
        "labels": labels,
        "main_metric": main,
        "greater_is_better": True,
        "bootstrap_samples": 1000,
        "data": {"card": "inbox", "title": "Inbox", "licence": "cc0-1.0", "hub": None, "commit": None}
        | {"origin": {"train": "train.csv"}, "fingerprint": "ab" * 32, "warnings": []}
        | {"splits": {name: dict(facts) for name in ("train", *splits)}},
        "training": {"steps": 20, "planned_steps": 20, "best_step": 20, "evaluations": evaluations, "new_modules": []}
        | {"trainable_parameters": 1000, "total_parameters": 1000, "seconds": 75.5, "step_seconds": 70.0}
        | {"tokens_per_second": 1234.5, "padding_share": 0.05, "peak_memory_mib": 900, "batch": "8 examples"},
        "scores": {name: json.loads(json.dumps(split)) for name in splits},
        "reference": None,
        "reload_proof": {"split": splits[-1], "rows": 8, "largest_difference": 1e-6, "tolerance": 1e-4, "seconds": 3.0},
    }


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run folder of a kind; `change` may alter results and predictions before."""

    def make(kind="binary", *, splits=("validation", "test"), change=None, commit="c0ffee", adapter=False):
        labels, split, predictions, problem = KINDS[kind]()
        results = _results(labels, split, splits)
        rows = [{"split": name, **row} for name in splits for row in predictions]
        schema = {"problem_type": problem, "labels": labels, "class_weights": None, "threshold": 0.5}
        results["schema"] = schema | {"long_texts": "cut"}
        results["task_settings"] = {"name": "text_classification", "problem_type": problem}
        if change:
            change(results, rows)
        model = tmp_path / "run" / "model"
        model.mkdir(parents=True)
        records = [
            {"step": s, "epoch": 0, "loss": 1 / s, "learning_rate": 1e-5 * s, "grad_norm": 1.0} for s in (5, 10, 20)
        ]
        environment = {
            "started": "2026-01-01T00:00:00Z",
            "versions": {"ft-toolkit": None, "torch": "2.13.0"},
            "machine": {"system": "Linux", "processor": "x", "cores": 2, "memory_gib": 4.0, "python": "3.11"},
            "device": "cpu",
            "devices": [],
            "model": {"name": results["model"], "revision": None, "commit": commit, "sha256": "cd" * 32},
        }
        contract = {
            "ft_toolkit": "0.1.0",
            "task": results["task"],
            "settings": results["task_settings"],
            "max_length": 64,
        }
        contract |= {"schema": results["schema"], "mixed_precision": "no", "tokens_per_batch": 1024}
        _write(model / "inference.json", contract)
        if adapter:
            _write(model / "adapter_config.json", {})
        _write(tmp_path / "run" / "results.json", results)
        _write(tmp_path / "run" / "environment.json", environment)
        _write_lines(tmp_path / "run" / "metrics.jsonl", records)
        _write_lines(tmp_path / "run" / "predictions.jsonl", rows)
        (tmp_path / "run" / "recipe.yaml").write_text("task: {name: text_classification}\ndata: {max_length: 64}\n")
        return tmp_path / "run"

    return make


def _write(path: Path, value):
    path.write_text(json.dumps(value, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def _write_lines(path: Path, values):
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), encoding="utf-8")


def optional_parts():
    """Return the parts of a split's scores that only some runs have."""
    sides = {side: {**score(0.1, 0.05, 0.2), "chance": 0.3} for side in ("before", "after")}
    losses = {side: score(0.4, 0.3, 0.5) for side in ("before", "after")}
    change = {"change": {"low": -0.1, "high": 0.1}}
    bins = [{"n": 3, "confidence": 0.6, "accuracy": 0.5, "low": 0.2, "high": 0.8}]
    gain = {"share": 0.2, "accuracy": score(0.93, 0.8, 1.0), "of_all": 0.875, "gain": score(0.055, -0.02, 0.1)}
    value = {"n": 6, "score": 0.5, "low": None, "high": None, "difference": {"low": None, "high": None}}
    large = {"n": 30, "score": 0.75, "low": 0.6, "high": 0.9, "difference": {"low": -0.3, "high": -0.1}}
    gaps = {
        "p_value": 0.01,
        "shown": True,
        "labels": [{"label": "good", "gap": 0.3, "low": 0.1, "high": 0.5, "highest": "x", "lowest": "y"}],
    }
    gaps["labels"][0]["rates"] = {"x": 0.7, "y": 0.4}
    flip = {"kind": "typos", "rewritten": 42, "changed": 40, "flipped": 4, "flip_rate": score(0.1, 0.05, 0.2)}
    flip["metric"] = {**score(0.8, 0.7, 0.9), "plain": 0.9, "difference": {"low": -0.2, "high": 0.0}}
    flip["examples"] = [
        {"id": "r1", "before": "awful", "after": "awfl", "answer_before": "bad", "answer_after": "good"}
    ]
    return {
        "slices": [
            {
                "column": "source",
                "metric": "accuracy",
                "values": [{"value": "mail", **large}, {"value": "web", **value}],
                "left_out": {"values": 2, "rows": 3},
            }
        ],
        "calibration": {
            "temperature": 1.5,
            "fitted_here": False,
            "claims": "predictions",
            "ece": sides | change,
            "brier": losses | change,
            "nll": losses | change,
            "bins": {"before": bins, "after": bins},
            "aurc": {**score(0.05, 0.01, 0.1), "unordered": 0.125, "perfect": 0.01},
            "risk_coverage": [[0.5, 0.0], [1.0, 0.125]],
            "abstaining": [gain],
        },
        "groups": [
            {
                "column": "dialect",
                "groups": [{"group": name, "n": 20, "compared": True} for name in "xy"],
                "left_out": {"values": 0, "rows": 0},
                "labels": ["good"],
                "demographic_parity": gaps,
                "equal_opportunity": None,
            }
        ],
        "robustness": [flip],
    }


class Page(HTMLParser):
    """An HTML page: checks the nesting while it reads, and keeps text, tags, attributes and ids."""

    VOID = ("meta", "br", "hr", "img", "input", "link")
    SELF_CLOSED = ("line", "circle", "path", "rect")

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
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.SELF_CLOSED, tag
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

    def section(self, anchor):
        """Return the HTML of one section."""
        return re.search(rf'<section id="{anchor}">(.*?)</section>', self.source, re.DOTALL).group(1)


@pytest.fixture
def page_of():
    """Return a function that writes the page of a run folder and reads it."""

    def read(folder):
        write_page(folder)
        return Page(folder / "report.html")

    return read


@pytest.fixture
def make_full_run(make_run):
    """Return a function that writes a run with every optional section."""

    def make(change=None, **arguments):
        def add(results, rows):
            for scores in results["scores"].values():
                scores |= optional_parts()
                scores["metrics"]["accuracy"]["detectable"] = 0.0321
            for row in rows:
                row["source"] = "mail"
            if change:
                change(results, rows)

        return make_run(change=add, **arguments)

    return make
