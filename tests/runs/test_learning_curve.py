"""Learning curves: complete runs on growing shares of the rows; their summary and page; resuming after an interruption."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.run_records import CurveFit, LearningCurve, TwiceTheRows
from ft_toolkit.core.yaml12 import parse_yaml
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.learning_curve import gain_sentence, sentences, write_learning_curve_page
from ft_toolkit.runs.learning_curve_plan import (
    CurveRequest,
    CurveRun,
    choose_shares,
    load_models,
    plan_runs,
    step_settings,
)
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import prepare

SHARES = "0.25,0.5,1"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {**data_files, "max_length": 64},
        "training": {
            "learning_rate": 1e-3,
            "num_train_epochs": 2,
            "examples_per_batch": 8,
            "warmup_ratio": 0.06,
            "seed": 3,
        },
        "evaluation": {
            "bootstrap_samples": 100,
            "baselines": [],
            "eval_steps": None,
            "early_stopping_patience": None,
        },
        "reference": {"metric": "accuracy", "value": 0.5, "tolerance": 0.1, "source": "nowhere"},
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished_curve(
    recipe: Path, here: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A finished learning curve of one model, and its console output."""
    folder = tmp_path_factory.mktemp("scale") / "curve"
    return folder, here("scale", recipe, "--shares", SHARES, "--output", folder).stdout


def test_every_share_is_a_complete_run_on_the_same_validation_rows(
    finished_curve: tuple[Path, str], recipe: Path
) -> None:
    folder, _ = finished_curve
    runs = {share: read(folder / f"share_{share}" / "results.json") for share in ("0.25", "0.5", "1")}
    assert [run["data"]["splits"]["train"]["rows"] for run in runs.values()] == [8, 16, 32]
    assert len({run["data"]["split_fingerprints"]["validation"] for run in runs.values()}) == 1
    assert all(run["labels"] == runs["1"]["labels"] and run["reference"] is None for run in runs.values())
    # 2 epochs of 32 rows are 8 steps, fewer than the minimum, so all shares have the same number of steps
    assert [run["training"]["steps"] for run in runs.values()] == [8, 8, 8]
    assert [len(run["training"]["evaluations"]) for run in runs.values()] == [2, 2, 2]
    recipe_used = parse_yaml((folder / "share_0.25" / "recipe.yaml").read_text(encoding="utf-8"))[0]
    assert recipe_used["data"]["train_fraction"] == 0.25 and recipe_used["training"]["max_steps"] == 8
    command = runs["0.25"]["command"]
    assert command.startswith(f"ftk run {recipe} data.train_fraction=0.25 training.seed=3 training.max_steps=8 ")
    assert command.endswith(f"--output {folder / 'share_0.25'}")


def test_summary_sentence_and_page_agree(finished_curve: tuple[Path, str]) -> None:
    folder, printed = finished_curve
    summary = read(folder / "scale.json")
    (model,) = summary["models"]
    assert [point["rows"] for point in model["points"]] == [8, 16, 32] and summary["n"] == 8
    for point in model["points"]:
        run = read(folder / point["folders"][0] / "results.json")
        assert point["value"] == run["scores"]["validation"]["metrics"]["accuracy"]["value"]
        assert point["seconds"] == run["training"]["seconds"] and point["standard_error"] >= 1 / 8
    assert model["fit"]["twice"]["rows"] == 64
    (sentence,) = sentences(LearningCurve.model_validate(summary))
    page = (folder / "scale.html").read_text(encoding="utf-8")
    assert sentence.startswith("Predicted for twice the rows (64): ") and sentence in printed and sentence in page
    assert f"Report page: {(folder / 'scale.html').as_uri()}" in printed
    assert page.count("<circle") == 4 and 'class="band strong"' in page and 'href="share_0.25/report.html"' in page
    assert "at most" not in page.split("<h1>")[1].split("</h1>")[0]


def test_a_score_that_is_0_everywhere_has_a_sentence_of_its_own(finished_curve: tuple[Path, str]) -> None:
    summary = read(finished_curve[0] / "scale.json")
    (model,) = summary["models"]
    model |= {"fit": None, "points": [{**point, "value": 0.0} for point in model["points"]]}
    (sentence,) = sentences(LearningCurve.model_validate(summary))
    assert sentence.startswith("No curve: accuracy is 0 for every number of rows. Train longer")


def test_a_run_can_be_repeated_alone_and_the_curve_resumes_with_its_missing_runs(
    finished_curve: tuple[Path, str], recipe: Path, here: Callable[..., Any], tmp_path: Path
) -> None:
    folder, printed = finished_curve
    copy = tmp_path / "curve"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "share_0.5")
    (copy / "scale.json").unlink()
    command = read(folder / "share_0.5" / "results.json")["command"].split()
    here(*command[1:-1], copy / "share_0.5")
    for name in ("predictions.jsonl", "model/model.safetensors"):
        assert (copy / "share_0.5" / name).read_bytes() == (folder / "share_0.5" / name).read_bytes()
    done = here("scale", recipe, "--shares", SHARES, "--output", copy, "--resume")
    assert (
        "0.5 of the rows (2 of 3): starting" in printed and "0.5 of the rows (2 of 3): already finished" in done.stdout
    )
    original, resumed = read(folder / "scale.json"), read(copy / "scale.json")
    assert [p["values"] for p in original["models"][0]["points"]] == [
        p["values"] for p in resumed["models"][0]["points"]
    ]
    assert original["models"][0]["fit"] == resumed["models"][0]["fit"]
    words = ("scale", recipe, "training.learning_rate=0.5", "--shares", SHARES, "--output", copy)
    refused = here(*words, "--resume", check=False)
    assert refused.returncode == 2 and "share_0.25 is a run of another recipe: training.learning_rate" in refused.stderr
    assert "is not empty" in here(*words, check=False).stderr


@pytest.mark.slow
def test_each_model_has_a_curve(
    finished_curve: tuple[Path, str],
    recipe: Path,
    here: Callable[..., Any],
    tiny_bert: str,
    tiny_gpt2: str,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "two"
    shutil.copytree(finished_curve[0], folder / "model_1")
    words = ["--models", f"{tiny_bert},{tiny_gpt2}", "--shares", SHARES, "--split", "test", "--output", folder]
    printed = here("scale", recipe, *words, "--resume").stdout
    assert printed.count("already finished") == 3 and printed.count("starting") == 3
    summary = read(folder / "scale.json")
    assert [model["model"] for model in summary["models"]] == [tiny_bert, tiny_gpt2]
    assert summary["split"] == "test"
    point = summary["models"][1]["points"][0]
    assert point["folders"] == ["model_2/share_0.25"]
    run = read(folder / "model_2" / "share_0.25" / "results.json")
    assert point["value"] == run["scores"]["test"]["metrics"]["accuracy"]["value"]
    first, second = sentences(LearningCurve.model_validate(summary))
    assert first.startswith(f"{tiny_bert}: Predicted for twice") and second.startswith(
        f"{tiny_gpt2}: Predicted for twice"
    )
    assert (folder / "scale.html").read_text(encoding="utf-8").count('class="band ') == 2


def test_each_share_is_run_once_per_seed(recipe: Path, tmp_path: Path) -> None:
    def planned(*overrides: str, seeds: list[int] | None = None) -> list[CurveRun]:
        request = CurveRequest("tiny", recipe, overrides, [0.25, 0.5, 1], None, seeds, "validation")
        loaded = list(load_models(request).values())
        return plan_runs(request, [prepare(recipe_of_model, work_folder=tmp_path) for recipe_of_model in loaded], 1)

    for runs in (planned(seeds=[1, 2]), planned("training.seeds=[1, 2]")):
        folders = [f"share_{share}/seed_{seed}" for share in ("0.25", "0.5", "1") for seed in (1, 2)]
        assert [run.folder for run in runs] == folders
        assert [run.loaded.recipe.training.seed for run in runs] == [1, 2] * 3
        assert all(run.loaded.recipe.training.seeds is None for run in runs)
    assert [run.folder for run in planned(seeds=[5])] == ["share_0.25", "share_0.5", "share_1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shares", "0.5,1"], "a curve requires at least three different shares"),
        (["--shares", "0,0.5,1"], "a share must be greater than 0 and at most 1; found 0"),
        (["--shares", "0.5,1,1.5"], "a share must be greater than 0 and at most 1; found 1.5"),
        (["--shares", "a,b,c"], "must be numbers separated by commas"),
        (["--shares", "0.1,0.5,1"], "0.1 of 32 training rows is 3 rows; at least 8 are required: use a share of at least 0.25"),
        (["--shares", "0.5,0.501,1"], "two shares have the same number of rows"),
        ([], "32 training rows are too few for 3 shares of at least 50 rows"),
        (["--models", "no_such_model", "--shares", SHARES], "no_such_model"),
        (["--models", ",", "--shares", SHARES], "must be model names separated by commas"),
        (["--seeds", "1,x"], "must be whole numbers from 0"),
        (["--seeds", "1,1"], "each seed may occur only once"),
        (["--split", "train"], "'train' is not one of 'test', 'validation'"),
        (["data.test=null", "--split", "test", "--shares", SHARES], "the data has no test rows; allowed: validation"),
        (["data.train_fraction=0.5"], "data.train_fraction: 'ftk scale' sets it for each run"),
        (["training.lerning_rate=1"], "unknown key"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_before_a_folder_is_created(
    words: list[str], message: str, recipe: Path, here: Callable[..., Any], tmp_path: Path
) -> None:
    done = here("scale", recipe, *words, "--output", tmp_path / "never", check=False)
    assert done.returncode == 2 and message in done.stderr
    assert not (tmp_path / "never").exists()


def test_the_default_shares_have_enough_rows() -> None:
    assert choose_shares(None, 1600, 2) == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert choose_shares(None, 200, 5) == [1 / 4, 1 / 2, 1]
    assert choose_shares(None, 1000, 77) == [1 / 8, 1 / 4, 1 / 2, 1]
    assert choose_shares([1, 0.25, 0.5], 32, 3) == [0.25, 0.5, 1]


def test_shares_of_a_run_that_fits_only_the_probe_need_no_settings(recipe: Path, tmp_path: Path) -> None:
    loaded = load_recipe(recipe, ["training.max_steps=0", "training.head_start=probe"], find_tasks())
    assert step_settings(prepare(loaded, work_folder=tmp_path), 0.25, 1) == []


def test_small_shares_have_enough_steps_and_no_more_evaluations(recipe: Path, tmp_path: Path) -> None:
    def settings(share: float, *overrides: str) -> list[str]:
        loaded = load_recipe(recipe, overrides, find_tasks())
        return step_settings(prepare(loaded, work_folder=tmp_path), share, 1)

    long = ["training.num_train_epochs=50"]  # 200 steps
    assert settings(1, *long) == [] and settings(0.5, *long) == []
    assert settings(0.25, *long) == ["training.max_steps=100", "evaluation.eval_steps=2"]
    assert settings(0.25, *long, "evaluation.eval_steps=7") == ["training.max_steps=100"]
    assert settings(0.25, "training.max_steps=12") == ["evaluation.eval_steps=4"]
    # values that the run on all rows chose: 120 steps, with one evaluation on the few validation rows
    auto = ["training.num_train_epochs=auto", "training.learning_rate=auto", "evaluation.eval_steps=auto"]
    chosen = settings(0.25, *auto, "reference=null")
    assert chosen == [
        "training.max_steps=100",
        "evaluation.eval_steps=100",
        "training.learning_rate=0.00013",
        "training.num_train_epochs=30",
    ]


def test_the_sentence_states_a_gain_only_if_the_interval_excludes_none(tmp_path: Path) -> None:
    def sentence(low: float, value: float, high: float, widened: float = 1.0, **changes: Any) -> str:
        facts = {"metric": "accuracy", "greater_is_better": True, "best": 1.0, "n": 400, **changes}
        change = {"value": value, "low": low, "high": high}
        twice = TwiceTheRows.model_validate({"rows": 3200, "value": 40.0, "low": 39.0, "high": 41.0, "change": change})
        return gain_sentence(
            LearningCurve.model_construct(**facts), CurveFit.model_construct(twice=twice, widened=widened)
        )

    begin = "Predicted for twice the rows (3,200): "
    uncertain = "a gain is not certain, because the interval includes 0."
    assert sentence(-0.003, 0.008, 0.02) == f"{begin}+0.8 points of accuracy (95% interval -0.3 to +2.0); {uncertain}"
    assert sentence(0.005, 0.008, 0.02).endswith("(95% interval +0.5 to +2.0); a gain is expected.")
    assert sentence(0.0002, 0.008, 0.02).endswith(f"(95% interval +0.0 to +2.0); {uncertain}")
    assert sentence(0.0012, 0.02, 0.03).endswith(
        "a gain is not certain, because the interval includes a gain of less than one of the 400 examples."
    )
    assert sentence(0.0012, 0.02, 0.03, n=1000).endswith("a gain is expected.")
    assert sentence(-0.03, -0.02, -0.01).endswith("no gain is expected.")
    assert sentence(-0.0004, 0.0001, 0.0004).endswith("no gain is expected.")
    lower = {"metric": "perplexity", "greater_is_better": False}
    assert sentence(-5, -3.1, -1.2, **lower).endswith(
        "-3.100 perplexity (95% interval -5.000 to -1.200); a gain is expected."
    )
    assert sentence(-5, -3.1, -0.03, **lower).endswith(
        "the interval includes a gain of less than a thousandth of the perplexity."
    )
    assert sentence(-5, -3.1, 1.2, **lower).endswith(uncertain)
    assert sentence(0.005, 0.008, 0.02, widened=2.5).endswith("Do not rely on it: the points fit the curve badly.")
    bleu = {"metric": "bleu", "best": 100.0}
    assert "+0.8 bleu (95% interval +0.5 to +2.0)" in sentence(0.5, 0.81, 2, **bleu)


def test_a_page_without_a_curve_gives_the_reason(finished_curve: tuple[Path, str], tmp_path: Path) -> None:
    summary = read(finished_curve[0] / "scale.json")
    summary["models"][0]["fit"] = None
    summary["models"][0]["points"][0] |= dict.fromkeys(("value", "low", "high", "standard_error"))
    write_learning_curve_page(tmp_path, LearningCurve.model_validate(summary))
    page = (tmp_path / "scale.html").read_text(encoding="utf-8")
    assert "No curve: accuracy is defined at fewer than 3 different numbers of rows." in page
    assert page.count("<circle") == 2
    summary["models"][0]["points"] = read(finished_curve[0] / "scale.json")["models"][0]["points"]
    write_learning_curve_page(tmp_path, LearningCurve.model_validate(summary))
    page = (tmp_path / "scale.html").read_text(encoding="utf-8")
    assert "No curve: the score gets worse with more rows" in page and "predicted for twice" not in page


def test_the_report_is_written_again(finished_curve: tuple[Path, str], check_report_again: Any) -> None:
    check_report_again(finished_curve[0], "scale.html")
