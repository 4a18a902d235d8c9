"""`ftk evaluate` gives the scores of the run on the same rows, refuses rows that do not fit, and checks robustness."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import DataError, GateError, UsageError
from ft_toolkit.evaluation.compare.examples import read_examples
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.runs.evaluate import EvaluationRequest, evaluate_model
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.tracking import Display

QUIET = Console(quiet=True)
RECIPES = {
    "text_classification": "demo",
    "ner": "ner/support_inbox_full",
    "question_answering": "question_answering/support_inbox_full",
    "summarization": "summarization/xsum_bart",
    "language_modelling": "language_modelling/small_gpt2_from_scratch",
}


def evaluate(model: Path, source: str, **changes: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "split": "test", "columns": {}, "group": None, "slices": [], "robustness": False, "samples": None
    }  # fmt: skip
    request = EvaluationRequest(str(model), source, command="ftk evaluate x", **{**defaults, **changes})
    return evaluate_model(request, Display(QUIET, enabled=True))


@pytest.fixture(scope="module", params=RECIPES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run of a task."""
    folder = tmp_path_factory.mktemp(request.param)
    loaded = load_recipe(find_recipe(RECIPES[request.param]), [], find_tasks())
    run(loaded, RunOptions(output=folder / "run", resume=False, smoke=True, command="ftk run x", console=QUIET))
    return folder / "run"


def test_the_same_rows_give_the_same_scores(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_recipe: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    results = json.loads((finished / "results.json").read_text())
    task = find_tasks()[results["task"]]
    split = "test" if "test" in results["scores"] else "validation"
    lines = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()]
    records = [line for line in lines if line["split"] == split]
    rows = []
    for line in records:  # rows as in a user's file: the columns of the task, and the answer from `gold`
        row = {key: line[key] for key in ("id", *task.columns) if key in line}
        answer = {"text_classification": "label", "ner": "entities", "summarization": "summary"}.get(task.name)
        if answer == "entities":
            row[answer] = [{key: entity[key] for key in ("start", "end", "label")} for entity in line["gold"]]
        elif answer is not None:
            row[answer] = line["gold"]
        elif task.name == "question_answering":
            texts = [text for text in line["gold"] if text] if isinstance(line["gold"], list) else [line["gold"]]
            starts = [row["context"].find(text) for text in texts]
            row["answers"] = {"text": texts, "answer_start": starts}
        rows.append(row)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = evaluate(finished, "rows.jsonl", split=split, output=None)
    assert evaluation["folder"] == "evaluations/run"
    assert evaluation["kind"] == "evaluation" and evaluation["main_metric"] == results["main_metric"]
    for name, score in results["scores"][split]["metrics"].items():
        again = evaluation["scores"][split]["metrics"][name]
        assert again.keys() == score.keys()
        for key, value in score.items():
            assert again[key] == (value if value is None else pytest.approx(value, rel=1e-6))
    assert not evaluation["scores"][split]["baselines"]
    ours, theirs = read_examples(Path(evaluation["folder"])), read_examples(finished, split)
    assert np.allclose(ours.predictions, theirs.predictions, equal_nan=True)
    assert [record["id"] for record in ours.records] == [record["id"] for record in theirs.records]
    if task.name in ("text_classification", "language_modelling", "summarization"):
        assert ours.fingerprint == theirs.fingerprint


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], tiny_gpt2: str) -> Path:
    """A cased classifier after a short training on renamed columns, with its data files."""
    folder = tmp_path_factory.mktemp("classifier")
    for name, split_rows in (("train", rows[:32]), ("validation", rows[32:40]), ("test", rows[40:])):
        renamed = [{"id": row["id"], "review": row["text"], "stars": row["label"]} for row in split_rows]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in renamed))
    (folder / "recipe.yaml").write_text(
        f"""
task: text_classification
model: {{name: {tiny_gpt2}}}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, test: {folder}/test.jsonl,
        columns: {{text: review, label: stars}}, max_length: 64}}
training: {{learning_rate: 1.0e-2, max_steps: 20, examples_per_batch: 8, seed: 1}}
evaluation: {{bootstrap_samples: 100, metric_for_best_model: f1_macro}}
reference: {{metric: accuracy, value: 0.0, tolerance: 0.01, split: test, source: "a page of ours"}}
"""
    )
    loaded = load_recipe(folder / "recipe.yaml", [], find_tasks())
    run(loaded, RunOptions(output=folder / "run", resume=False, smoke=False, command="ftk run x", console=QUIET))
    return folder


def test_rows_that_the_model_was_trained_on_give_a_warning(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [json.loads(line) for line in (classifier / "train.jsonl").read_text().splitlines()]
    others = [{**row, "id": f"new {i}", "review": f" {row['review'].upper()}"} for i, row in enumerate(texts)]
    (tmp_path / "others.jsonl").write_text("".join(json.dumps(row) + "\n" for row in others))
    shutil.copytree(classifier / "run" / "model", tmp_path / "alone")
    for source in (classifier / "train.jsonl", tmp_path / "others.jsonl"):
        display = Display(Console(width=200), enabled=True)
        arguments = (
            str(tmp_path / "alone"),
            str(source),
            "test",
            {},
            None,
            [],
            tmp_path / source.stem,
            False,
            100,
            "x",
        )
        facts = evaluate_model(EvaluationRequest(*arguments), display)["data"]
        assert facts["splits"]["test"]["also_in_training"] == len(texts)
        warning = f"the model was trained on {len(texts)} of these {len(texts)} texts (100%)"
        assert warning in " ".join(facts["warnings"]) and warning in capsys.readouterr().out
    new = evaluate(classifier / "run", str(classifier / "test.jsonl"), output=tmp_path / "new")
    assert new["data"]["splits"]["test"]["also_in_training"] == 0


def test_the_column_names_and_settings_of_the_run_are_the_defaults(classifier: Path, tmp_path: Path) -> None:
    results = json.loads((classifier / "run" / "results.json").read_text())
    evaluation = evaluate(classifier / "run" / "model", str(classifier / "test.jsonl"), output=tmp_path / "e")
    assert evaluation["scores"]["test"]["metrics"] == results["scores"]["test"]["metrics"]
    assert evaluation["main_metric"] == "f1_macro" and evaluation["bootstrap_samples"] == 100
    assert evaluation["data"]["split_fingerprints"]["test"] == results["data"]["split_fingerprints"]["test"]
    assert evaluation["data"]["splits"]["test"]["also_in_training"] == 0
    with pytest.raises(UsageError, match="exists and is not empty"):
        evaluate(classifier / "run", str(classifier / "test.jsonl"), output=tmp_path / "e")


def test_numbers_for_names_that_nothing_orders_are_refused(classifier: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"review": "fine", "stars": 1}\n')
    with pytest.raises(
        DataError, match=r"rows.jsonl \(test\): row 1: label '1' is a number, but the labels are the names"
    ):
        evaluate(classifier / "run", str(rows), output=tmp_path / "e")
    model = tmp_path / "model"
    shutil.copytree(classifier / "run" / "model", model)
    contract = json.loads((model / "inference.json").read_text())
    contract["schema"]["label_order"] = "task.labels"  # as if the run had set them
    (model / "inference.json").write_text(json.dumps(contract))
    display = evaluate(model, str(rows), output=tmp_path / "f")
    assert any(
        "numbers are positions in the training run (task.labels): 0 = " in n for n in display["data"]["warnings"]
    )
    records = [json.loads(line) for line in (tmp_path / "f" / "predictions.jsonl").read_text().splitlines()]
    assert records[0]["gold"] == contract["schema"]["labels"][1]


def test_rows_that_do_not_fit_are_refused_with_the_reason(classifier: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"review": "fine", "stars": "prase", "body": "x"}\n')
    with pytest.raises(
        DataError, match=r"rows.jsonl \(test\): row 1: unknown label 'prase'; known.*Did you mean 'praise'"
    ):
        evaluate(classifier / "run", str(rows), output=tmp_path / "e")
    with pytest.raises(DataError, match=r"no column 'bdy' .*Did you mean 'body'.* Set its name: .*--column text=NAME"):
        evaluate(classifier / "run", str(rows), output=tmp_path / "e", columns={"text": "bdy"})
    rows.write_text('{"review": "fine", "stars": null}\n')
    with pytest.raises(DataError, match=r"no labelled rows to score; text_classification needs the column label"):
        evaluate(classifier / "run", str(rows), output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_robustness_counts_only_changed_rows(classifier: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    texts = [("Maria says the lamp is lovely", "praise"), ("he lost the lamp", "complaint"), ("12", "question")]
    rows.write_text("".join(json.dumps({"review": text, "stars": label}) + "\n" for text, label in texts * 4))
    evaluation = evaluate(classifier / "run", str(rows), output=tmp_path / "e", robustness=True)
    records = {record["kind"]: record for record in evaluation["scores"]["test"]["robustness"]}
    assert {kind: record["rewritten"] for kind, record in records.items() if kind != "typos"} == {
        "lowercase": 4, "uppercase": 8, "names": 4, "gender": 4,
    }  # fmt: skip
    for record in records.values():
        assert record["flipped"] <= record["changed"] <= record["rewritten"]
        rate = record["flip_rate"]
        if not record["changed"]:
            assert rate["value"] is None and record["metric"]["plain"] is None
            continue
        assert 0 <= rate["low"] <= rate["value"] == record["flipped"] / record["changed"] <= rate["high"] + 1e-9
        for example in record["examples"]:
            assert example["before"] != example["after"] and example["answer_before"] != example["answer_after"]
    assert records["uppercase"]["changed"] == 8


def test_an_uncased_model_does_not_see_changes_of_case(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    from ft_toolkit.evaluation.breakdown.robustness import judge

    task = find_tasks()["text_classification"]
    schema = task.load_schema(
        {"problem_type": "single_label_classification", "labels": ["a", "b"], "class_weights": None, "threshold": 0.5,
         "long_texts": "cut"}
    )  # fmt: skip
    settings = task.settings()
    setup = ScoringSetup(task, settings, schema, task.metrics(settings), "accuracy", samples=100, seed=1)
    robustness = task.robustness(settings)
    assert robustness is not None
    record = judge("uppercase", [], 5, robustness, setup)
    assert record["rewritten"] == 5 and record["changed"] == 0 and record["flip_rate"]["value"] is None


def test_robustness_is_refused_for_tasks_whose_answers_change(tmp_path: Path) -> None:
    from ft_toolkit.evaluation.breakdown.robustness import robustness_of

    tasks = find_tasks()
    available = "Available for: generative_question_answering, ner, question_answering"
    with pytest.raises(UsageError, match=rf"not available for translation: .* {available}"):
        robustness_of(tasks["translation"], tasks["translation"].settings(name="translation"))
    with pytest.raises(UsageError, match="not available for text_classification with problem_type=regression"):
        settings = tasks["text_classification"].settings(name="text_classification", problem_type="regression")
        robustness_of(tasks["text_classification"], settings)


def test_the_command_refuses_missing_files_cards_and_splits(tmp_path: Path) -> None:
    def error(*words: str) -> str:
        raised = CliRunner().invoke(app, list(words)).exception
        assert isinstance(raised, UsageError)
        return str(raised)

    assert "file not found" in error("evaluate", str(tmp_path), "--data", "nothing.csv")
    assert "no data card 'sst3'" in error("evaluate", str(tmp_path), "--data", "sst3")
    assert "the labels of 'test' are hidden" in error("evaluate", str(tmp_path), "--data", "sst2")
    assert "COLUMN=NAME" in error("evaluate", str(tmp_path), "--data", "sst2", "--column", "text")
    assert "not found locally" in error("evaluate", "nothing", "--data", "support_inbox")


def test_reproduce(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = classifier / "recipe.yaml"
    reached = CliRunner().invoke(app, ["reproduce", str(recipe), "--output", "one"])
    assert reached.exit_code == 0 and "reached: test accuracy" in reached.output and "a page of ours" in reached.output
    assert reached.output.count("test, n = ") == 1
    (tmp_path / "high.yaml").write_text(recipe.read_text().replace("value: 0.0", "value: 1.5"))
    short = CliRunner().invoke(app, ["reproduce", "high.yaml", "--output", "two"])
    assert isinstance(short.exception, GateError) and short.exception.exit_code == 3
    assert "not reached, short by" in str(short.exception)
    for words, message in (
        (["high.yaml", "data.train=x.csv"], "only valid for the model and rows of the recipe"),
        (["high.yaml", "reference.value=0.1"], "only valid for the model and rows of the recipe"),
        (["high.yaml", "--smoke"], "cannot reproduce a published score"),
        (["demo"], "recipes that have one: .*sst2_full"),
    ):
        error = CliRunner().invoke(app, ["reproduce", *words]).exception
        with pytest.raises(UsageError, match=message):
            raise error if error is not None else AssertionError
