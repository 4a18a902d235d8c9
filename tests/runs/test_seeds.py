"""Multi-seed runs: each seed is a complete run; mean and spread of the scores; resuming after an interruption."""

import io
import json
import shutil
import signal
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from ft_toolkit.api import load
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import ChildRunError, RecipeError, UsageError
from ft_toolkit.core.run_records import SeedsResults, read_results, read_run_results
from ft_toolkit.core.run_scores import MetricScore
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.report.console import print_results
from ft_toolkit.report.seeds import write_seeds_report
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.runs.seeds import run_recipe, selection_score, spread, summarize
from ft_toolkit.tasks import find_tasks

WORDS = [sys.executable, "-m", "ft_toolkit"]
SETTINGS = {"num_train_epochs": 30, "examples_per_batch": 4, "save_steps": 3}
QUIET = Console(quiet=True)


def loaded(path: Path, *overrides: str) -> LoadedRecipe:
    return load_recipe(path, overrides, find_tasks())


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run that depend on its seed, without the first line of recipe.yaml, which names the command."""
    recipe = (folder / "recipe.yaml").read_bytes().partition(b"\n")[2]
    return {
        "recipe.yaml": recipe,
        **{name: (folder / name).read_bytes() for name in ("model/model.safetensors", "predictions.jsonl")},
    }


def read(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    """A recipe with enough steps to be interrupted, and with dropout, whose random numbers a resumed run must repeat."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert, "dropout": 0.2},
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 3e-5, "logging_steps": 1, **SETTINGS},
        "evaluation": {"bootstrap_samples": 100},
        "method": "full",
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> Path:
    """A finished run with two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    command = f"ftk run tiny.yaml training.seeds=[1,2] --output {folder}"
    two_seeds = loaded(recipe, "training.seeds=[1, 2]")
    results = run_recipe(two_seeds, output=folder, resume=False, smoke=False, command=command, console=QUIET)
    assert results == {**read(folder), "folder": str(folder)}
    return folder


def test_each_seed_is_a_complete_run_with_the_weights_of_a_single_run(both: Path, recipe: Path, tmp_path: Path) -> None:
    alone = loaded(recipe, "training.seed=2")
    run(alone, RunOptions(tmp_path / "alone", resume=False, smoke=False, command="ftk", console=QUIET))
    assert contents(both / "seed_2") == contents(tmp_path / "alone")
    assert contents(both / "seed_1") != contents(both / "seed_2")
    for seed in (1, 2):
        results = read(both / f"seed_{seed}")
        assert results["reload_proof"]["rows"] == 8 and (both / f"seed_{seed}" / "report.html").is_file()
        assert results["command"] == f"ftk run tiny.yaml training.seed={seed} --output {both / f'seed_{seed}'}"
    assert {path.name for path in both.iterdir()} == {"seed_1", "seed_2", "results.json", "report.html", "README.md"}


def test_the_results_summarize_those_of_the_seeds(both: Path) -> None:
    results, runs = read(both), {seed: read(both / f"seed_{seed}") for seed in (1, 2)}
    for split, scores in results["scores"].items():
        for name, summary in scores["metrics"].items():
            by_seed = {str(seed): run["scores"][split]["metrics"][name] for seed, run in runs.items()}
            values = [score["value"] for score in by_seed.values()]
            assert summary["values"] == by_seed and summary["n"] == 2
            assert summary["mean"] == pytest.approx(statistics.mean(values))
            assert summary["sd"] == pytest.approx(statistics.stdev(values))
            assert (summary["min"], summary["max"]) == (min(values), max(values))
    validation = {seed: run["scores"]["validation"]["metrics"]["accuracy"]["value"] for seed, run in runs.items()}
    assert results["best"]["value"] == max(validation.values()) == validation[results["best"]["seed"]]
    assert (both / results["best"]["model"] / "inference.json").is_file()
    text = ["the lamp is late"]
    assert load(both)(text) == load(both / results["best"]["folder"])(text)
    assert results["seconds"] == pytest.approx(sum(run["training"]["seconds"] for run in runs.values()), abs=0.01)


def test_the_best_seed_has_the_lowest_loss_if_loss_selects(both: Path, recipe: Path) -> None:
    by_loss = loaded(recipe, "training.seeds=[1, 2]", "evaluation.metric_for_best_model=loss")
    best = summarize(by_loss, both, "ftk").best
    losses = {seed: selection_score(read_run_results(both / f"seed_{seed}"), "loss") for seed in (1, 2)}
    assert best.value == min(losses.values()) == losses[best.seed] and best.chosen_by == "validation loss"


class Page(HTMLParser):
    """The links and the text of an HTML page. Raises AssertionError if its tags are not nested correctly."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder with hand-written results of three seeds."""
    values = {"1": 0.8, "2": 0.9, "3": 0.85}
    by_seed = {seed: {"value": v, "low": v - 0.1, "high": v + 0.05} for seed, v in values.items()}
    metric = spread({seed: MetricScore(**score) for seed, score in by_seed.items()}).as_json()
    undefined = spread(dict.fromkeys(values, MetricScore(value=None, low=None, high=None))).as_json()
    results = {
        "name": "demo", "task": "text_classification", "model": "bert <b>", "method": "full", "main_metric": "accuracy",
        "greater_is_better": True, "lower_is_better": [], "substitutions": [], "command": "ftk run demo training.seeds=[1,2,3]",
        "seeds": [1, 2, 3], "seconds": 300.0,
        "best": {"seed": 2, "folder": "seed_2", "model": "seed_2/model", "chosen_by": "validation accuracy", "value": 0.9},
        "scores": {split: {"n": 50, "metrics": {"accuracy": metric, "pearson": undefined}} for split in ("validation", "test")},
        "runs": [
            {"seed": seed, "folder": f"seed_{seed}", "steps": 10, "best_step": 5, "validation accuracy": 0.9, "seconds": 100.0}
            | {"process_peak_memory_mib": 900}
            for seed in (1, 2, 3)
        ],
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(results))
    kept = {key: results[key] for key in ("name", "task", "model", "method", "main_metric", "substitutions")}
    scores = {"test": {"n": 50, "metrics": {"accuracy": by_seed["2"]}}}
    (tmp_path / "seed_2").mkdir()
    best = {**kept, "scores": scores, "training": {"steps": 10, "seconds": 100.0}}
    (tmp_path / "seed_2" / "results.json").write_text(json.dumps(best))
    return tmp_path


def test_the_page_shows_each_seed_the_mean_and_a_link_to_each_report(three: Path) -> None:
    results = read_results(three)
    assert isinstance(results, SeedsResults)
    write_seeds_report(three, results)
    page = Page(three / "report.html")
    assert {link for link in page.links if not link.startswith("#")} == {
        f"seed_{seed}/report.html" for seed in (1, 2, 3)
    }
    text = " ".join(" ".join(page.words).split())
    assert "accuracy on test, mean of 3 seeds 0.85 95% interval of the mean 0.73 to 0.97" in text
    assert "standard deviation 0.05 · 0.80 to 0.90 · n = 50" in text
    assert "seed 2 0.90 (0.80 to 0.95), best on validation" in text and "mean 0.85" in text
    assert "pearson - - - - - - - -" in text and "None" not in text and "bert <b>" in text
    card = (three / "README.md").read_text()
    assert "| accuracy | 0.85 ± 0.05 (0.73 to 0.97) | 0.85 ± 0.05 (0.73 to 0.97) |" in card and "`seed_2/model`" in card


def test_the_console_shows_mean_and_spread(three: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    print_results({**read(three), "folder": str(three)}, console)
    lines = console.export_text().splitlines()
    assert any(
        line.split() == ["accuracy", "0.85", "±", "0.05", "0.73", "to", "0.97", "0.80", "0.90", "3"] for line in lines
    )
    assert "best validation accuracy: seed 2 (0.9000)" in lines


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, None, 3.0], {"mean": 2.0, "sd": 2**0.5, "min": 1.0, "max": 3.0, "n": 2}),
        ([4.0, None], {"mean": 4.0, "sd": None, "min": 4.0, "max": 4.0, "n": 1}),
        ([0.5, 0.5], {"mean": 0.5, "sd": 0.0, "min": 0.5, "max": 0.5, "n": 2}),
        ([None], {"mean": None, "sd": None, "min": None, "max": None, "n": 0}),
    ],
)
def test_spread_leaves_out_undefined_scores(values: list[float | None], expected: dict[str, Any]) -> None:
    scores = {str(seed): MetricScore(value=value, low=None, high=None) for seed, value in enumerate(values)}
    assert spread(scores).model_dump(exclude={"values", "mean_low", "mean_high"}) == pytest.approx(expected)


def test_the_interval_of_the_mean_is_that_of_scipy() -> None:
    values = [0.81, 0.84, 0.9, 0.86]
    scores = spread({str(i): MetricScore(value=value, low=None, high=None) for i, value in enumerate(values)})
    expected = stats.t.interval(0.95, 3, loc=statistics.mean(values), scale=stats.sem(values))
    assert (scores.mean_low, scores.mean_high) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], []])
def test_too_few_or_equal_seeds_have_no_interval(values: list[float]) -> None:
    scores = spread({str(i): MetricScore(value=value, low=None, high=None) for i, value in enumerate(values)})
    assert scores.mean_low is None and scores.mean_high is None


@pytest.fixture
def unfinished(both: Path, tmp_path: Path) -> Path:
    """A copy of the finished run without its second seed and its summary."""
    shutil.copytree(both, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "seed_2")
    for name in ("results.json", "report.html", "README.md"):
        (tmp_path / "cut" / name).unlink()
    return tmp_path / "cut"


def test_an_interrupted_run_resumes_in_the_interrupted_seed(
    both: Path, unfinished: Path, recipe: Path, here: Any, here_until: Any
) -> None:
    (unfinished / "seed_1" / "report.html").unlink()  # interrupted after results.json and before the report page
    words = ["run", str(recipe), "training.seeds=[1, 2]", "--output", str(unfinished), "--resume"]
    log = unfinished / "seed_2" / "metrics.jsonl"
    stopped = here_until(lambda: log.is_file() and log.read_text().count("\n") >= 20, signal.SIGTERM, *words)
    assert stopped.returncode == 143, stopped.stderr
    assert "seed 1 (1 of 2): already finished" in stopped.stdout and "seed 2 (2 of 2): starting" in stopped.stdout
    assert "of seed 2 (2 of 2); a checkpoint is saved" in stopped.stderr
    assert stopped.stderr.strip().endswith(f"ftk run {recipe} 'training.seeds=[1, 2]' --output {unfinished} --resume")
    done = here(*words)
    assert "seed 2 (2 of 2): resuming" in done.stdout and "resuming after step" in done.stdout
    assert "mean ± sd" in done.stdout
    assert contents(unfinished / "seed_2") == contents(both / "seed_2")
    assert read(unfinished)["scores"] == read(both)["scores"]
    assert (unfinished / "seed_1" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["--parallel 2", "--executor submitit --executor-option cluster=local", "--executor ray"]
)
def test_an_executor_computes_only_the_unfinished_seeds_with_the_same_weights(
    both: Path, unfinished: Path, recipe: Path, here: Any, options: str
) -> None:
    if "ray" in options:
        pytest.importorskip("ray")
    words = ["run", str(recipe), "training.seeds=[1, 2]", "--output", str(unfinished), "--resume", *options.split()]
    done = here(*words)
    assert "seed 1 (1 of 2): already finished" in done.stdout and "seed 2: finished" in done.stdout
    assert contents(unfinished / "seed_2") == contents(both / "seed_2")
    assert read(unfinished)["scores"] == read(both)["scores"]
    assert (unfinished / "logs" / "seed_2.log").stat().st_size > 0


def test_a_failed_seed_is_named_with_its_folder_and_the_command_to_resume(recipe: Path, tmp_path: Path) -> None:
    diverging = loaded(recipe, "training.seeds=[1, 2]", "training.learning_rate=1e38", "training.max_steps=9")
    with pytest.raises(ChildRunError) as caught:
        run_recipe(diverging, output=tmp_path / "r", resume=False, smoke=False, command="ftk run x", console=QUIET)
    message = str(caught.value)
    assert message.startswith(f"seed 1 (1 of 2) failed in {tmp_path}/r/seed_1: ") and "loss" in message
    assert message.endswith(f"Resume with:\n  ftk run x --output {tmp_path}/r --resume")


def test_an_executor_requires_several_runs(recipe: Path, here: Any) -> None:
    done = here("run", recipe, "--parallel", 2, check=False)
    assert done.returncode == 2 and "require several runs: set training.seeds=[1,2,3]" in done.stderr
    done = here("run", recipe, "training.seeds=[1, 2]", "--executor", "slrum", check=False)
    assert done.returncode == 2 and "allowed: local, ray, submitit" in done.stderr


def test_a_finished_seed_of_another_recipe_or_a_finished_run_is_refused(
    both: Path, unfinished: Path, recipe: Path
) -> None:
    for folder, overrides, smoke, message in (
        (both, ["training.learning_rate=0.5"], False, "seed_1 is a run of another recipe: training.learning_rate was"),
        (unfinished, ["training.learning_rate=0.5"], False, "seed_1 is a run of another recipe: training.learning_rate was"),
        (unfinished, [], True, "smoke runs and real runs cannot be mixed"),
    ):  # fmt: skip
        changed = loaded(recipe, "training.seeds=[1, 2]", *overrides)
        with pytest.raises(UsageError, match=message):
            run_recipe(changed, output=folder, resume=True, smoke=smoke, command="ftk", console=QUIET)


def test_a_folder_that_is_not_a_run_is_not_deleted(tmp_path: Path, recipe: Path) -> None:
    (tmp_path / "seed_1").mkdir()
    (tmp_path / "seed_1" / "thesis.docx").write_text("years of work")
    with pytest.raises(UsageError, match=r"seed_1 is not a run folder \(it contains thesis.docx\)"):
        run_recipe(
            loaded(recipe, "training.seeds=[1, 2]"),
            output=tmp_path,
            resume=True,
            smoke=False,
            command="ftk",
            console=QUIET,
        )
    assert (tmp_path / "seed_1" / "thesis.docx").is_file()


@pytest.mark.slow
def test_two_processes_run_each_seed_together_as_a_smoke_run(recipe: Path, tmp_path: Path) -> None:
    words = [
        "run",
        str(recipe),
        "training.seeds=[1, 2]",
        "--smoke",
        "--output",
        str(tmp_path / "r"),
        "--processes",
        "2",
    ]
    done = subprocess.run([*WORDS, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report page: file://") == 1 and done.stdout.count("seed 1 (1 of 2): starting") == 1
    results = read(tmp_path / "r")
    assert [run["seed"] for run in results["runs"]] == [1, 2] and results["substitutions"]
    assert "Not a real result" in (tmp_path / "r" / "report.html").read_text()


def test_the_command_line_overrides_the_recipe_and_seed_excludes_seeds(write_recipe: Any) -> None:
    plain, with_seed = loaded(write_recipe()), loaded(find_recipe("sst2_full"), "training.seeds=[1, 2]")
    assert plain.recipe.training.seeds is None and with_seed.recipe.training.seeds == [1, 2]
    path = write_recipe(training__seeds=[3, 4])
    assert loaded(path).recipe.training.seeds == [3, 4]
    assert loaded(path, "training.seed=5").recipe.training.seeds is None
    assert loaded(path, "training.seed=5").recipe.training.seed == 5
    for changes, overrides in (
        ({"training__seeds": [3, 4], "training__seed": 1}, []),
        ({}, ["training.seed=1", "training.seeds=[1, 2]"]),
    ):
        with pytest.raises(RecipeError, match="training: seed and seeds exclude each other; remove one"):
            loaded(write_recipe(**changes), *overrides)


@pytest.mark.parametrize("seeds", ["[1]", "[]", "[1, 1]"])
def test_at_least_two_different_seeds_are_required(write_recipe: Any, seeds: str) -> None:
    with pytest.raises(RecipeError, match="at least two different seeds are required, each once"):
        loaded(write_recipe(), f"training.seeds={seeds}")


def test_a_resolved_recipe_with_seeds_is_read_back_unchanged(write_recipe: Any, tmp_path: Path) -> None:
    original = loaded(write_recipe(), "training.seeds=[1, 2]")
    (tmp_path / "resolved.yaml").write_text(original.to_yaml(), encoding="utf-8")
    assert loaded(tmp_path / "resolved.yaml").recipe.sha256() == original.recipe.sha256()


def test_the_report_is_written_again(both: Path, check_report_again: Any) -> None:
    check_report_again(both, "report.html", "README.md")
