"""Several processes on this machine over gloo: the same losses, resuming with another number of processes, error reports.

A process takes five seconds to start, so there are few runs, and tests share them.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import LostProcessError, UsageError
from ft_toolkit.core.run_records import read_run_results
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.distributed.launch import _exit_code, check_launcher, current_command

FTK = [sys.executable, "-m", "ft_toolkit"]
LAUNCH = Path(__file__).resolve().parents[3] / "docs" / "launch"


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["loss"] for record in map(json.loads, lines) if "loss" in record]


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen([*FTK, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(folder: Path, steps: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").is_file() or len(losses(folder)) < steps:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def recipe(write_recipe: Any) -> Path:
    return write_recipe(model__dropout=0.0, training__num_train_epochs=8, training__save_steps=3)


@pytest.mark.slow
def test_four_processes_stopped_and_resumed_by_one_have_the_losses_of_one(
    recipe: Path, here: Any, tmp_path: Path
) -> None:
    """4 processes x 4 examples until SIGTERM, then 4 micro-batches of 4 examples, compared with 16 examples at once."""
    here("run", recipe, "training.examples_per_batch=16", "--output", tmp_path / "one")
    four = tmp_path / "four"
    process = start("run", recipe, "training.examples_per_batch=4", "--output", four, "--processes", 4)
    wait_for(four, 4, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.count("error:") == 1 and "stopped by SIGTERM" in errors
    assert f"--processes 4 --output {four} --resume" in errors
    words = ["run", recipe, "training.examples_per_batch=4", "--output", four, "--resume"]
    refused = here(*words, check=False)
    assert refused.returncode == 2
    assert "an optimizer step had 16 examples (4 x 1 micro-batch x 4 processes), now it has 4" in refused.stderr
    assert "set training.gradient_accumulation_steps=4" in refused.stderr
    resumed = here(*words, "training.gradient_accumulation_steps=4")
    assert (
        "started with 4 processes and resumes with 1 process: each step has the same rows and the same loss up to rounding\n"
        in resumed.stdout
    )
    assert losses(four) == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.slow
def test_weighted_losses_of_resampled_rows_are_those_of_one_process(recipe: Path, here: Any, tmp_path: Path) -> None:
    loss = ["task.class_weights=sqrt", "task.focal_gamma=2.0", "task.label_smoothing=0.1"]
    words = ["run", recipe, *loss, "training.resample_classes=sqrt", "training.num_train_epochs=2"]
    here(*words, "training.examples_per_batch=16", "--output", tmp_path / "one")
    process = start(*words, "training.examples_per_batch=8", "--output", tmp_path / "two", "--processes", 2)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.slow
def test_contrastive_training_gives_the_losses_of_one_process(recipe: Path, here: Any, tmp_path: Path) -> None:
    words = ["run", recipe, "training.contrastive_pairs=4", "training.num_train_epochs=1"]
    here(*words, "training.examples_per_batch=16", "--output", tmp_path / "one")
    process = start(*words, "training.examples_per_batch=8", "--output", tmp_path / "two", "--processes", 2)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    one, two = (read_run_results(tmp_path / name).training.contrastive for name in ("one", "two"))
    assert one is not None and two is not None and one.steps == two.steps
    assert (two.first_loss, two.loss) == pytest.approx((one.first_loss, one.loss), rel=1e-3)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-2)


def test_a_killed_process_ends_the_others_with_one_message(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    process = start("run", recipe, "training.num_train_epochs=500", "--output", folder, "--processes", 2)
    wait_for(folder, 3, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = [pid for pid in children if "\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_text()]
    os.kill(int(ranks[0]), signal.SIGKILL)
    killed = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert process.returncode == 1
    assert errors.count("error:") == 1 and "process 1 of 2 (counted from 0) was ended by SIGKILL" in errors
    assert "Traceback" not in errors


def test_a_wrong_recipe_starts_no_process_and_wrong_rows_are_reported_once(recipe: Path, tmp_path: Path) -> None:
    wrong = subprocess.run([*FTK, "run", recipe, "training.lr=1", "--processes", "2"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "training.lr: unknown key; use training.learning_rate" in wrong.stderr
    process = start("run", recipe, "task.labels=[a, b]", "--output", tmp_path / "x", "--processes", 2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.count("known: a, b") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, "requests FSDP version 1"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM is not supported"),
        ({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}, r"set training\.gradient_accumulation_steps=4"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "mixed precision 'bf16', but the recipe has 'no'"),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, "started only one, because it needs mpirun"),
        ({"WORLD_SIZE": "3"}, "--processes 2, but a launcher has already started 3"),
    ],
)
def test_unsupported_settings_of_a_launcher_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_launcher(environ, processes=2, mixed_precision="no", max_grad_norm=1.0)


def test_the_command_to_resume_has_the_number_of_processes_on_one_machine() -> None:
    one_machine = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert current_command(["run", "demo"], one_machine) == "ftk run demo --processes 2"
    assert current_command(["run", "demo", "--processes", "2"], one_machine) == "ftk run demo --processes 2"
    assert current_command(["run", "demo"], {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}) == "ftk run demo"
    assert current_command(["run", "demo"], {}) == "ftk run demo"


def test_the_exit_code_is_that_of_the_first_to_fail() -> None:
    assert _exit_code({1: 2, 0: -signal.SIGTERM}, 2) == 2
    with pytest.raises(LostProcessError, match="process 1 of 2"):
        _exit_code({0: 1, 1: -signal.SIGKILL}, 2)


def cluster_commands() -> dict[str, str]:
    """Return the command lines in the files of docs/launch, by file name."""
    job = next(part for part in yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text()) if part["kind"] == "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {
        "slurm.sbatch": (LAUNCH / "slurm.sbatch").read_text(),
        "kubernetes.yaml": shlex.join([*container["command"], *container["args"]]),
        "sky.yaml": yaml.safe_load((LAUNCH / "sky.yaml").read_text())["run"],
    }


def test_the_launch_files_run_an_existing_recipe() -> None:
    subprocess.run(["bash", "-n", LAUNCH / "slurm.sbatch"], check=True)
    # test_fsdp.py runs fsdp.yaml and deepspeed.yaml, the configs of Accelerate
    assert {*cluster_commands(), "fsdp.yaml", "deepspeed.yaml"} == {path.name for path in LAUNCH.iterdir()}
    for name, text in cluster_commands().items():
        match = re.search(r"-m ft_toolkit run (\S+) --output", text)
        assert match is not None, name
        load_recipe(find_recipe(match[1]), [], find_tasks())
