"""Sweeps: trials, pruning, the best trial, resuming after a kill, several processes, and the test rows, scored once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ft_toolkit.core.errors import RecipeError, UsageError
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.locks import try_lock
from ft_toolkit.core.run_records import read_run_results
from ft_toolkit.core.sweep_records import SweepBest, SweepResults, SweepTrial, SweptSetting, read_sweep
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.sweep import ranked, sentences, write_sweep_page
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.sweep import SweepRequest, _facts, open_study
from ft_toolkit.tasks import find_tasks

pytest.importorskip("optuna")
WORDS = ("training.learning_rate=1e-4..1e-2", "training.examples_per_batch=4,8")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 1e-3, "max_steps": 2, "examples_per_batch": 8, "head_start": "none"},
        "evaluation": {"bootstrap_samples": 100, "eval_steps": 1},
        "method": "full",
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, recipe: Path, here: Any) -> tuple[Path, str]:
    """The folder of a finished sweep with two trials, and its console output."""
    folder = tmp_path_factory.mktemp("sweeps") / "s"
    return folder, here("sweep", recipe, *WORDS, "--trials", 2, "--pruner", "none", "--output", folder).stdout


def request_of(recipe: Path, *words: str, trials: int = 2) -> SweepRequest:
    return SweepRequest(str(recipe), recipe, words or WORDS, trials, "none")


def options_of(folder: Path) -> RunOptions:
    return RunOptions(folder, False, False, "ftk sweep x", Console(quiet=True))


def test_the_first_trial_has_the_recipes_values_and_the_best_one_is_scored_on_the_test_rows(
    finished: tuple[Path, str], recipe: Path
) -> None:
    folder, output = finished
    results = read_sweep(folder)
    assert results.complete and [trial.state for trial in results.trials] == ["finished", "finished"]
    assert results.trials[0].settings == {"training.learning_rate": 1e-3, "training.examples_per_batch": 8}
    assert 1e-4 <= results.trials[1].settings["training.learning_rate"] <= 1e-2
    best = results.best
    assert best is not None and best.value == max(trial.value or 0 for trial in results.trials)
    for trial in results.trials:
        scores = read_run_results(folder / trial.folder).scores
        assert scores["validation"].metrics["accuracy"].value == trial.value
        assert set(scores) == ({"validation", "test"} if trial.number == best.trial else {"validation"})
    winner = read_run_results(folder / best.folder)
    assert winner.scores["test"].metrics["accuracy"] == best.test and best.test_rows == 8
    assert winner.scores["test"].baselines and winner.data.splits["test"].rows == 8
    assert {record["split"] for record in read_objects(folder / best.folder / "predictions.jsonl")} == {
        "validation",
        "test",
    }
    repeated = load_recipe(folder / "best.yaml", [], find_tasks()).recipe
    settings = next(trial.settings for trial in results.trials if trial.number == best.trial)
    assert repeated.training.learning_rate == settings["training.learning_rate"]
    assert repeated.data.test is not None and repeated.evaluation.baselines != []
    assert "logarithmic scale" in output and "Test score of this trial, computed once" in output
    page = (folder / "sweep.html").read_text(encoding="utf-8")
    assert "Score over each setting" in page and f"{best.folder}/report.html" in page and "None" not in page


@pytest.mark.slow
def test_the_recipe_of_the_best_trial_repeats_it(finished: tuple[Path, str], here: Any, tmp_path: Path) -> None:
    folder, best = finished[0], read_sweep(finished[0]).best
    assert best is not None
    here("run", folder / "best.yaml", "--output", tmp_path / "again")
    ours, theirs = read_run_results(folder / best.folder), read_run_results(tmp_path / "again")
    for split in ("validation", "test"):
        assert ours.scores[split].metrics == theirs.scores[split].metrics
        assert ours.scores[split].baselines == theirs.scores[split].baselines
    assert ours.data.split_fingerprints == theirs.data.split_fingerprints
    weights = "model/model.safetensors"
    assert (folder / best.folder / weights).read_bytes() == (tmp_path / "again" / weights).read_bytes()


def test_more_trials_continue_a_sweep_and_another_sweep_is_refused(
    finished: tuple[Path, str], recipe: Path, here: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    shutil.copytree(finished[0], folder)
    refused = here("sweep", recipe, WORDS[0], "--output", folder, check=False)
    assert refused.returncode == 2 and "is a sweep with another" in refused.stderr
    again = here("sweep", recipe, *WORDS, "--trials", 2, "--pruner", "none", "--output", folder).stdout
    assert "starting" not in again and "scoring the best trial" not in again


def test_an_interrupted_trial_is_resumed_and_a_trial_of_a_living_process_is_left_alone(
    finished: tuple[Path, str], recipe: Path, here: Any, tmp_path: Path
) -> None:
    """A trial that is running in the journal is taken over exactly if no process holds its lock."""
    folder = tmp_path / "s"
    shutil.copytree(finished[0], folder)
    request = request_of(recipe, trials=3)
    study = open_study(request, _facts(request, options_of(folder)))
    study.ask()  # a process started trial 2 and died
    command = ("sweep", recipe, *WORDS, "--trials", 3, "--pruner", "none", "--output", folder)
    with try_lock(folder / "logs" / "trial_2.lock") as is_free:
        assert is_free
        output = here(*command).stdout
        assert "trial 2 of 3" not in output and "other processes still compute trials" in output
        assert not read_sweep(folder).complete and read_sweep(folder).trials[2].state == "unfinished"
    output = here(*command).stdout
    assert "trial 2 of 3: starting" in output
    results = read_sweep(folder)
    assert results.complete and [trial.number for trial in results.trials if trial.state == "finished"] == [0, 1, 2]


def test_a_line_of_the_journal_that_was_not_written_completely_is_removed(recipe: Path, tmp_path: Path) -> None:
    folder, request = tmp_path / "s", request_of(recipe, trials=1)
    open_study(request, _facts(request, options_of(folder)))
    journal = folder / "journal.log"
    content = journal.read_bytes()
    journal.write_bytes(content + b'{"op_code": 4, "wor')
    study = open_study(request, _facts(request, options_of(folder)))
    study.ask().set_user_attr("starts", 1)
    again = open_study(request, _facts(request, options_of(folder)))
    assert again.trials[0].user_attrs == {"starts": 1}
    assert journal.read_bytes().startswith(content) and all(map(json.loads, journal.read_text().splitlines()))


def test_a_trial_whose_process_dies_every_time_fails(recipe: Path, here: Any, tmp_path: Path) -> None:
    folder, request = tmp_path / "s", request_of(recipe, trials=1)
    study = open_study(request, _facts(request, options_of(folder)))
    study.ask().set_user_attr("starts", 3)
    output = here("sweep", recipe, *WORDS, "--trials", 1, "--pruner", "none", "--output", folder).stdout
    (trial,) = read_sweep(folder).trials
    assert trial.state == "failed" and trial.reason == "its process died 3 times" and "No trial is finished." in output


@pytest.mark.slow
def test_bad_trials_are_pruned_and_diverging_ones_fail(recipe: Path, here: Any, tmp_path: Path) -> None:
    steps = ("training.max_steps=30", "evaluation.eval_steps=3", "evaluation.metric_for_best_model=loss")
    words = ("training.learning_rate=1e-2,2e-2,3e-2,4e-2,1e-6,1e-5,1e38", *steps)
    here("sweep", recipe, *words, "--trials", 12, "--output", tmp_path / "s")
    results = read_sweep(tmp_path / "s")
    states = {trial.settings["training.learning_rate"]: trial.state for trial in results.trials}
    assert len(states) == len(results.trials) == results.planned_trials == 7  # each combination once
    assert states[1e38] == "failed" and not results.greater_is_better
    pruned = [trial for trial in results.trials if trial.state == "pruned"]
    assert pruned and all(trial.evaluations < 10 for trial in pruned)
    assert not any((tmp_path / "s" / trial.folder / "checkpoints").exists() for trial in pruned)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_sweep_is_killed_and_resumed(recipe: Path, tmp_path: Path, n_processes: int) -> None:
    folder = tmp_path / "s"
    steps = (
        "training.max_steps=150",
        "training.save_steps=5",
        "evaluation.eval_steps=50",
        "training.examples_per_batch=8",
    )
    words = [sys.executable, "-m", "ft_toolkit", "sweep", str(recipe), WORDS[0], *steps, "--trials", "3"]
    words += ["--pruner", "none", "--output", str(folder)]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = folder / "trial_1" / "checkpoints" / "last" / "state.json"
    wait_for(checkpoint, first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = run_together([words] * n_processes)
    assert sum("trial 1 of 3: resuming" in output for output in done) == 1
    assert sum("trial 2 of 3: starting" in output for output in done) == 1
    assert not any("trial 0 of 3" in output for output in done)
    results = read_sweep(folder)
    assert results.complete and [trial.state for trial in results.trials] == ["finished"] * 3
    assert results.best is not None and results.best.test is not None
    # the resumed trial is the uninterrupted run
    settings = results.trials[1].settings
    alone = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), *steps, "--output", str(tmp_path / "alone")]
    alone += [f"training.learning_rate={settings['training.learning_rate']!r}"]
    subprocess.run(alone, check=True, capture_output=True)
    weights = "model/model.safetensors"
    assert (folder / "trial_1" / weights).read_bytes() == (tmp_path / "alone" / weights).read_bytes()


def wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 180
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def run_together(commands: Sequence[Sequence[str]]) -> list[str]:
    """Run commands at the same time, and return their outputs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for words in commands
    ]
    outputs = []
    for process in running:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        outputs.append(output)
    return outputs


@pytest.mark.slow
@pytest.mark.processes
def test_parallel_workers_share_a_sweep(recipe: Path, here: Any, tmp_path: Path) -> None:
    here("sweep", recipe, WORDS[0], "--trials", 3, "--parallel", 2, "--output", tmp_path / "s")
    results = read_sweep(tmp_path / "s")
    assert results.complete and len(results.trials) == 3
    rates = [trial.settings["training.learning_rate"] for trial in results.trials]
    assert len(set(rates)) == 3 and len(list((tmp_path / "s" / "logs").glob("worker_*_2.log"))) == 1


def test_wrong_settings_are_refused_before_anything_is_written(recipe: Path, here: Any, tmp_path: Path) -> None:
    for words, message in (
        (("training.learning_rate=-1..1",), "training.learning_rate"),
        (("training.lerning_rate=1e-5..1e-3",), "learning_rate"),
        (("method.r=4,8",), "method"),
        (("training.seed=1,2", "training.seeds=[1, 2]"), "seed"),
    ):
        done = here("sweep", recipe, *words, "--output", tmp_path / "s", check=False)
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "s").exists()
    with pytest.raises(UsageError, match=r"data\.fold"):
        request_of(recipe, WORDS[0], "data.fold=1/2").check()
    with pytest.raises(RecipeError):
        request_of(recipe, "training.learning_rate=1e-5..1e-3", "training.max_steps=0").check()


def make_results(**changes: Any) -> SweepResults:
    trials = [
        SweepTrial(number=n, state=state, folder=f"trial_{n}", settings={"a.b": v, "a.c": c}, value=s, evaluations=3)
        for n, (state, v, c, s) in enumerate(
            [
                ("finished", 1e-4, "x", 0.7),
                ("finished", 1e-2, "y", 0.9),
                ("pruned", 1e-3, "x", 0.95),
                ("failed", 1.0, "y", None),
            ]
        )
    ]
    values: dict[str, Any] = {
        "name": "demo-sweep", "command": "ftk sweep demo", "task": "text_classification", "model": "bert", "metric": "accuracy",
        "greater_is_better": True, "planned_trials": 4, "pruner": "median", "trials": trials, "validation_rows": 100,
        "space": [SweptSetting(key="a.b", low=1e-4, high=1.0, log=True), SweptSetting(key="a.c", values=["x", "y"])],
        "best": SweepBest(trial=1, folder="trial_1", value=0.9, selection_bias=0.03), "importance": {"a.b": 0.8, "a.c": 0.2},
        "complete": True,
    }  # fmt: skip
    return SweepResults(**{**values, **changes})


def test_the_page_shows_scores_settings_and_importance(tmp_path: Path) -> None:
    write_sweep_page(tmp_path, make_results())
    page = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "importance 80%" in page and "trial 2 (pruned), a.b 0.001: 0.95" in page and ">0.01<" in page
    assert [trial.number for trial in ranked(make_results())] == [1, 0, 2, 3]


def test_the_validation_score_is_corrected_for_the_selection() -> None:
    text = " ".join(sentences(make_results()))
    assert "exceed its true score by 0.03, so expect 0.87 or better" in text and "There are no test rows" in text
    unknown = make_results(best=SweepBest(trial=1, folder="trial_1", value=0.9))
    assert "It is optimistic, because this score selected the trial." in " ".join(sentences(unknown))


def test_the_report_is_written_again(finished: tuple[Path, str], check_report_again: Any) -> None:
    check_report_again(finished[0], "sweep.html")
