"""What words contributed: it adds up to the logit, lies on whole words, and reaches the page."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ft_toolkit.api import load
from ft_toolkit.core.errors import RecipeError, UsageError
from ft_toolkit.inference.attributions import explain
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.text_classification import explained_label


def finish(path: Path, folder: Path, *settings: str) -> dict[str, Any]:
    loaded = load_recipe(path, list(settings), find_tasks())
    return run(loaded, RunOptions(output=folder, resume=False, smoke=False, command="ftk", console=Console(quiet=True)))


def test_the_words_of_the_surest_mistakes_are_credited(tiny_gpt2: str, write_recipe: Any, tmp_path: Path) -> None:
    settings = [f"model.name={tiny_gpt2}", "training.max_steps=3", "evaluation.attributions=2"]
    finish(write_recipe(), tmp_path / "run", *settings)
    found = [json.loads(line) for line in (tmp_path / "run" / "attributions.jsonl").read_text().splitlines()]
    records = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    wrong = [one for one in records if one["split"] == "test" and one["label"] != one["gold"]]
    assert len(wrong) > 2, "three steps from random weights leave mistakes"
    surest = sorted(wrong, key=lambda one: -one["score"])[:2]
    assert [one["id"] for one in found] == [one["id"] for one in surest]
    for one, record in zip(found, surest, strict=True):
        assert one["label"] == record["label"]
        spans = [(word["start"], word["end"]) for word in one["texts"]["text"]]
        words = [record["text"][a:b] for a, b in spans]
        assert len(words) > 1 and words == record["text"].split()[: len(words)]  # up to where the text is cut
        whole = sum(word["weight"] for word in one["texts"]["text"])
        assert whole != 0 and whole == pytest.approx(one["logit"] - one["start_logit"], abs=1e-3)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="toward"') + page.count('class="against"') > 2
    assert f"strongest for {found[0]['label']}: " in page or f"strongest against {found[0]['label']}: " in page


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Path:
    """A run on pairs of texts with several labels each."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = [
        {"id": str(i), "text": f"left {i}", "text_pair": f"right {i % 5}", "label": ["a", "b", "c"][: i % 4]}
        for i in range(24)
    ]
    for name in ("train", "test"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(
        "task: {name: text_classification, problem_type: multi_label_classification}\n"
        f"model: {{name: {tiny('bert')}}}\n"
        f"data: {{train: {folder}/train.jsonl, validation: {folder}/test.jsonl, test: {folder}/test.jsonl}}\n"
        "training: {max_steps: 3, examples_per_batch: 8}\n"
        "evaluation: {bootstrap_samples: 100, attributions: 3}\n"
    )
    finish(folder / "recipe.yaml", folder / "run")
    return folder / "run"


def test_both_texts_of_a_pair_are_credited_for_the_wrong_label(pairs: Path) -> None:
    found = [json.loads(line) for line in (pairs / "attributions.jsonl").read_text().splitlines()]
    records = {
        (one["split"], one["id"]): one
        for one in map(json.loads, (pairs / "predictions.jsonl").read_text().splitlines())
    }
    assert len(found) == 3
    for one in found:
        record = records[one["split"], one["id"]]
        assert one["label"] in set(record["gold"]) ^ set(record["labels"])
        assert {name: len(words) for name, words in one["texts"].items()} == {"text": 2, "text_pair": 2}
        assert abs(one["unexplained"]) < 1e-3


def test_the_saved_model_gives_the_same_contributions(pairs: Path) -> None:
    found = [json.loads(line) for line in (pairs / "attributions.jsonl").read_text().splitlines()]
    records = [json.loads(line) for line in (pairs / "predictions.jsonl").read_text().splitlines()]
    chosen = [next(one for one in records if (one["split"], one["id"]) == (f["split"], f["id"])) for f in found]
    model = load(pairs)
    again = explain(model._predictor, model.task.classifier(model.settings), model.max_length, chosen)
    for one, other in zip(found, again, strict=True):
        assert one["label"] == other["label"] and one["logit"] == pytest.approx(other["logit"], abs=1e-5)
        for name, words in one["texts"].items():
            weights = [word["weight"] for word in other["texts"][name]]
            assert [word["weight"] for word in words] == pytest.approx(weights, abs=1e-5)


def test_the_label_of_several_that_is_furthest_from_the_truth() -> None:
    probabilities = {"a": 0.9, "b": 0.6, "c": 0.05}
    record = {"gold": ["a", "c"], "labels": ["a", "b"], "probabilities": probabilities}
    assert explained_label(record) == "c"
    assert explained_label({**record, "gold": ["a"]}) == "b"


def test_what_cannot_be_credited_is_refused(write_recipe: Any, tiny: Any, tmp_path: Path) -> None:
    for settings, said in [
        (["task=ner"], "evaluation.attributions: only allowed for tasks with label probabilities"),
        (["task.problem_type=regression"], "only allowed for tasks with label probabilities"),
        (["task.long_texts=windows"], "not supported with task.long_texts=windows"),
        (["evaluation.attributions=21"], "less than or equal to 20"),
        (
            ["task=summarization", "evaluation.groups=[label]"],
            "evaluation.groups: only allowed for tasks with label probabilities",
        ),
    ]:
        with pytest.raises(RecipeError, match=said):
            load_recipe(write_recipe(), ["evaluation.attributions=1", *settings], find_tasks())
    with pytest.raises(UsageError, match="attributions are available for encoders and decoders only"):
        finish(write_recipe(), tmp_path / "run", f"model.name={tiny('bart')}", "evaluation.attributions=1")
