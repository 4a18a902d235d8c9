"""Several seeds: complete runs, each as it would be alone; their mean and spread; going on after an interruption."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ft_toolkit.cli import find_recipe
from ft_toolkit.errors import RecipeError, UsageError
from ft_toolkit.recipe_file import LoadedRecipe, load_recipe
from ft_toolkit.report.console import print_results
from ft_toolkit.report.seeds import write_seeds_report
from ft_toolkit.run import run
from ft_toolkit.seeds import run_recipe, selection_score, spread
from ft_toolkit.tasks import find_tasks

WORDS = [sys.executable, "-m", "ft_toolkit"]
QUICK = ["training.num_train_epochs=2", "model.dropout=0.2"]


def loaded(path: Path, *overrides: str) -> LoadedRecipe:
    return load_recipe(path, [*QUICK, *overrides], find_tasks())


def train(recipe: LoadedRecipe, folder: Path, *, resume: bool = False, smoke: bool = False) -> dict[str, Any]:
    command = f"ftk run recipe.yaml training.seeds=[1,2] --output {folder}"
    quiet = Console(quiet=True)
    return run_recipe(recipe, output=folder, resume=resume, smoke=smoke, command=command, console=quiet)


def contents(folder: Path) -> dict[str, bytes]:
    names = ("model/model.safetensors", "predictions.jsonl", "recipe.yaml")
    return {name: (folder / name).read_bytes().partition(b"\n")[2] if name == "recipe.yaml" else (folder / name).read_bytes() for name in names}  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def test_each_seed_is_a_complete_run_as_it_would_be_alone(write_recipe: Any, tmp_path: Path) -> None:
    path = write_recipe()
    results = train(loaded(path, "training.seeds=[1, 2]"), tmp_path / "both")
    quiet = Console(quiet=True)
    alone = loaded(path, "training.seed=2")
    run(alone, output=tmp_path / "alone", resume=False, smoke=False, command="ftk", console=quiet)
    assert contents(tmp_path / "both" / "seed_2") == contents(tmp_path / "alone")
    one, two = (contents(tmp_path / "both" / f"seed_{seed}") for seed in (1, 2))
    assert one["model/model.safetensors"] != two["model/model.safetensors"]
    for seed in (1, 2):
        folder = tmp_path / "both" / f"seed_{seed}"
        own = read(folder)
        assert own["reload_proof"]["rows"] == 8 and (folder / "report.html").is_file()
        assert own["command"] == f"ftk run recipe.yaml training.seed={seed} --output {folder}"
        for split, scores in own["scores"].items():
            for name, found in scores["metrics"].items():
                assert results["scores"][split]["metrics"][name]["values"][str(seed)] == found
    values = [read(tmp_path / "both" / f"seed_{s}")["scores"]["test"]["metrics"]["accuracy"]["value"] for s in (1, 2)]
    found = results["scores"]["test"]["metrics"]["accuracy"]
    assert (found["mean"], found["sd"]) == (statistics.mean(values), statistics.stdev(values))
    assert (found["min"], found["max"], found["n"]) == (min(values), max(values), 2)
    assert results["folder"] == str(tmp_path / "both") and {**read(tmp_path / "both"), "folder": ""} == {
        **results,
        "folder": "",
    }
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        "seed_1",
        "seed_2",
        "results.json",
        "report.html",
        "README.md",
    }


class Page(HTMLParser):
    """The links and the words of a page, and whether its tags are nested well."""

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
    """A folder with the results of three made-up seeds."""
    values = {"1": 0.8, "2": 0.9, "3": 0.85}
    metric = {**spread(list(values.values())), "values": {s: {"value": v, "low": v - 0.1, "high": v + 0.05} for s, v in values.items()}}  # fmt: skip
    undefined = {**spread([None] * 3), "values": {seed: {"value": None, "low": None, "high": None} for seed in values}}
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
    return tmp_path


def test_the_page_shows_each_seed_the_mean_and_the_way_to_each_report(three: Path) -> None:
    write_seeds_report(three)
    page = Page(three / "report.html")
    assert {link for link in page.links if not link.startswith("#")} == {
        f"seed_{seed}/report.html" for seed in (1, 2, 3)
    }
    text = " ".join(" ".join(page.words).split())
    assert "accuracy on test, mean of 3 seeds 0.8500 standard deviation 0.0500 · 0.8000 to 0.9000 · n = 50" in text
    assert "seed 2 0.9000 (0.8000 to 0.9500), the best on validation" in text and "mean 0.8500" in text
    assert "pearson - - - - - - -" in text and "None" not in text and "bert <b>" in text
    card = (three / "README.md").read_text()
    assert "| accuracy | 0.8500 ± 0.0500 | 0.8500 ± 0.0500 |" in card and "`seed_2/model`" in card


def test_the_console_shows_mean_and_spread(three: Path) -> None:
    console = Console(record=True, width=200, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115
    print_results({**read(three), "folder": "runs/x"}, console)
    lines = console.export_text().splitlines()
    assert any(line.split() == ["accuracy", "*", "0.8500", "+-", "0.0500", "0.8000", "0.9000", "3"] for line in lines)
    assert "best by validation accuracy: seed 2 (0.9000), runs/x/seed_2/model" in lines


def test_spread_leaves_out_what_is_undefined() -> None:
    assert spread([1.0, None, 3.0]) == {"mean": 2.0, "sd": pytest.approx(2**0.5), "min": 1.0, "max": 3.0, "n": 2}
    assert spread([4.0, None]) == {"mean": 4.0, "sd": None, "min": 4.0, "max": 4.0, "n": 1}
    assert spread([None]) == {"mean": None, "sd": None, "min": None, "max": None, "n": 0}


def test_with_loss_the_best_seed_has_the_lowest(write_recipe: Any, tmp_path: Path) -> None:
    recipe = loaded(write_recipe(), "training.seeds=[1, 2]", "evaluation.metric_for_best_model=loss")
    results = train(recipe, tmp_path / "r")
    losses = {seed: selection_score(read(tmp_path / "r" / f"seed_{seed}"), "loss") for seed in (1, 2)}
    assert results["best"]["seed"] == min(losses, key=lambda seed: losses[seed] or 0.0)
    assert results["best"]["value"] == min(losses.values()) and results["best"]["chosen_by"] == "validation loss"


def test_resume_keeps_finished_seeds_and_starts_what_has_no_checkpoint(write_recipe: Any, tmp_path: Path) -> None:
    recipe, folder = loaded(write_recipe(), "training.seeds=[1, 2]"), tmp_path / "r"
    train(recipe, folder)
    with pytest.raises(UsageError, match="is finished already"):
        train(recipe, folder, resume=True)
    whole = read(folder)
    (folder / "results.json").unlink()
    (folder / "seed_1" / "report.html").unlink()  # stopped between the numbers and the page
    (folder / "seed_2" / "results.json").unlink()
    before = (folder / "seed_1" / "results.json").stat().st_mtime_ns
    other = loaded(write_recipe(), "training.seeds=[1, 2]", "training.learning_rate=0.5")
    with pytest.raises(
        UsageError, match=r"seed_1 was made by another recipe: training.learning_rate was 0.001, now 0.5"
    ):
        train(other, folder, resume=True)
    with pytest.raises(UsageError, match="a smoke run and a real one do not go together"):
        train(recipe, folder, resume=True, smoke=True)
    again = train(recipe, folder, resume=True)
    assert again["scores"] == whole["scores"]
    assert (folder / "seed_1" / "results.json").stat().st_mtime_ns == before and (
        folder / "seed_1" / "report.html"
    ).is_file()


def test_an_interrupted_run_goes_on_in_the_seed_it_was_in(write_recipe: Any, tmp_path: Path) -> None:
    recipe, cut = (
        write_recipe(training__num_train_epochs=30, training__examples_per_batch=4, model__dropout=0.2),
        tmp_path / "cut",
    )
    words = [*WORDS, "run", str(recipe), "training.seeds=[5, 6]", "--output"]
    process = subprocess.Popen([*words, str(cut)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log, deadline = cut / "seed_6" / "metrics.jsonl", time.monotonic() + 120
    while not log.is_file() or log.read_text().count("\n") < 20:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "of seed 6 (2 of 2); a checkpoint is saved" in errors
    assert errors.strip().endswith(f"ftk run {recipe} 'training.seeds=[5, 6]' --output {cut} --resume")
    done = subprocess.run([*words, str(cut), "--resume"], capture_output=True, text=True, check=True)
    assert "seed 5 (1 of 2): finished already" in done.stdout and "seed 6 (2 of 2): going on" in done.stdout
    assert "resuming after step" in done.stdout and "mean +- sd" in done.stdout
    quiet = Console(quiet=True)
    alone = load_recipe(recipe, ["training.seed=6"], find_tasks())
    run(alone, output=tmp_path / "alone", resume=False, smoke=False, command="ftk", console=quiet)
    assert contents(cut / "seed_6") == contents(tmp_path / "alone")


def test_two_processes_run_every_seed_together(write_recipe: Any, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "ft_toolkit"]
    words = [
        "run",
        str(write_recipe()),
        "training.seeds=[1, 2]",
        "training.max_steps=2",
        "--output",
        str(tmp_path / "r"),
    ]
    done = subprocess.run([*launcher, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1 and done.stdout.count("seed 1 (1 of 2): starting") == 1
    assert [one["seed"] for one in read(tmp_path / "r")["runs"]] == [1, 2]


def test_a_smoke_run_of_several_seeds_says_so(write_recipe: Any, tmp_path: Path) -> None:
    results = train(loaded(write_recipe(), "training.seeds=[1, 2]"), tmp_path / "r", smoke=True)
    assert results["substitutions"] and "Not a real result" in (tmp_path / "r" / "report.html").read_text()


def test_the_command_line_wins_over_the_recipe_and_both_at_one_place_are_a_mistake(write_recipe: Any) -> None:
    plain, with_seed = loaded(write_recipe()), loaded(find_recipe("sst2_full"), "training.seeds=[1, 2]")
    assert plain.recipe.training.seeds is None and with_seed.recipe.training.seeds == [1, 2]
    path = write_recipe(training__seeds=[3, 4])
    assert loaded(path).recipe.training.seeds == [3, 4]
    assert loaded(path, "training.seed=5").recipe.training.seeds is None
    assert loaded(path, "training.seed=5").recipe.training.seed == 5
    for recipe, overrides in (
        (write_recipe(training__seeds=[3, 4], training__seed=1), []),
        (write_recipe(), ["training.seed=1", "training.seeds=[1, 2]"]),
    ):
        with pytest.raises(RecipeError, match="training: seed and seeds exclude each other; keep one"):
            loaded(recipe, *overrides)


@pytest.mark.parametrize("seeds", ["[1]", "[]", "[1, 1]"])
def test_seeds_must_be_several_and_different(write_recipe: Any, seeds: str) -> None:
    with pytest.raises(RecipeError, match="at least two seeds are needed, each a different one"):
        loaded(write_recipe(), f"training.seeds={seeds}")


def test_a_resolved_recipe_with_seeds_reads_back(write_recipe: Any, tmp_path: Path) -> None:
    one = loaded(write_recipe(), "training.seeds=[1, 2]")
    (tmp_path / "resolved.yaml").write_text(one.to_yaml(), encoding="utf-8")
    assert loaded(tmp_path / "resolved.yaml").recipe.sha256() == one.recipe.sha256()
