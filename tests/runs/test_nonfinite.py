"""Steps whose loss or gradient is not finite: stopped or skipped, up to a limit, by one or several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ft_toolkit.core.run_records import read_run_results

# The square of the label 1e30 is not a float32: the step with this row has an infinite loss in each epoch.
HUGE = 1e30
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true"}
SKIP = "training.on_nonfinite=skip"


@pytest.fixture
def recipe(write_recipe: Any, tmp_path: Path) -> Path:
    rows = [{"text": f"the {'lovely' if i % 2 else 'broken'} lamp {i}", "label": float(i % 2)} for i in range(24)]
    rows[5]["label"] = HUGE
    for name, part in (("train", rows[:16]), ("validation", rows[16:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return write_recipe(
        task={"name": "text_classification", "problem_type": "regression"},
        data={name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")} | {"max_length": 64},
        model__dropout=0.0,
        training__save_steps=1,
        training__head_start="none",
        evaluation__baselines=[],
    )


def records(folder: Path, name: str) -> list[Any]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record[name] for record in map(json.loads, lines) if name in record]


def test_a_stopped_run_resumes_with_skip_and_equals_a_run_that_skipped(recipe: Path, here: Any, tmp_path: Path) -> None:
    stopped, skipped = tmp_path / "stopped", tmp_path / "skipped"
    done = here("run", recipe, "--output", stopped, check=False)
    assert done.returncode == 1 and "skip such steps with training.on_nonfinite=skip" in done.stderr
    assert "the loss is inf" in done.stderr and "Rows of this step (counted from 0): [" in done.stderr
    here("run", recipe, SKIP, "--output", stopped, "--resume")
    done = here("run", recipe, SKIP, "--output", skipped)
    assert done.stdout.count("the step is skipped. Rows of this step") == 2
    assert records(stopped, "loss") == records(skipped, "loss")
    assert records(skipped, "loss").count(None) == records(skipped, "grad_norm").count(None) == 2
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (stopped, skipped)]
    assert all((weights[0][name] == tensor).all() for name, tensor in weights[1].items())
    for folder in (stopped, skipped):
        assert read_run_results(folder).training.skipped_steps == 2
        assert "the gradient was not finite: 2 of the steps." in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("head_start", [pytest.param("auto", marks=pytest.mark.slow), "probe"])
def test_a_linear_probe_of_an_infinite_loss_is_rejected(
    head_start: str, recipe: Path, here: Any, tmp_path: Path
) -> None:
    words = ["run", recipe, SKIP, f"training.head_start={head_start}", "--output", tmp_path / "run"]
    done = here(*words, check=False)
    if head_start == "auto":
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and "the loss of the probe for classifier is nan" in done.stderr, done.stderr


def test_more_skipped_steps_than_the_limit_end_the_run_also_after_an_interruption(
    recipe: Path, here: Any, tmp_path: Path
) -> None:
    for resume in ((), ("--resume",)):
        done = here(
            "run", recipe, SKIP, "training.max_skipped_steps=1", "--output", tmp_path / "run", *resume, check=False
        )
        assert done.returncode == 1 and "stopped before the update after 1 skipped step" in done.stderr, done.stderr
        assert "training.max_skipped_steps" in done.stderr
    here("run", recipe, SKIP, "training.max_skipped_steps=2", "--output", tmp_path / "run", "--resume")
    assert read_run_results(tmp_path / "run").training.skipped_steps == 2


@pytest.mark.processes
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="ddp"),
        pytest.param(FSDP, id="fsdp", marks=pytest.mark.slow),
        pytest.param(ZERO, id="zero", marks=pytest.mark.slow),
        pytest.param(ZERO | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}, id="zero1", marks=pytest.mark.slow),
    ],
)
def test_all_processes_skip_the_steps_of_one(environ: dict[str, str], recipe: Path, here: Any, tmp_path: Path) -> None:
    """Two processes with two micro-batches each: the huge label is on one of the processes."""
    one, two = tmp_path / "one", tmp_path / "two"
    here("run", recipe, SKIP, "--output", one)
    words = ["run", recipe, SKIP, "training.examples_per_batch=2", "training.gradient_accumulation_steps=2"]
    command = [sys.executable, "-m", "ft_toolkit", *map(str, words), "--processes", "2", "--output", str(two)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the step is skipped") == 2
    for name in ("loss", "grad_norm", "validation_loss"):
        values, expected = ([-1.0 if value is None else value for value in records(run, name)] for run in (two, one))
        assert values == pytest.approx(expected, rel=1e-4), name
    assert read_run_results(two).training.skipped_steps == 2
