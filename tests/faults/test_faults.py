"""Faults of the disk and signals during a run: one message with the path, the reason and the command that resumes."""

import collections
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import StorageError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks

# Sends this process a signal before the rename that completes a checkpoint, as often as the first argument says.
SIGNALS_WHILE_SAVING = """
import os, signal, sys
TIMES, sys.argv = [int(sys.argv[1])], ["ftk", *sys.argv[2:]]
def hook(event, args):
    if event == "os.rename" and str(args[1]).endswith("checkpoints/last"):
        while TIMES[0]:
            TIMES[0] -= 1
            os.kill(os.getpid(), signal.SIGTERM)
sys.addaudithook(hook)
from ft_toolkit.cli.app import main
main()
"""


def test_a_file_that_is_too_large_ends_the_run_with_the_command_to_resume(
    write_recipe: Any, here: Any, tmp_path: Path
) -> None:
    recipe, folder = write_recipe(), tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))  # as `ulimit -f 64`
    try:
        done = here("run", recipe, "--output", folder, check=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.returncode == 1
    assert f"{folder}" in done.stderr and "File too large" in done.stderr and "'ulimit -f'" in done.stderr
    assert done.stderr.endswith(f"Then resume with:\n  ftk run {recipe} --output {folder} --resume\n")
    assert not (folder / "run.lock").exists()
    here("run", recipe, "--output", folder, "--resume")


def test_a_disk_without_enough_space_is_refused_before_training(
    write_recipe: Any, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    done = here("run", write_recipe(), "--output", tmp_path / "run", check=False)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert re.search(r"needs about \d+ MiB for checkpoints and the model, but the disk has 1 MiB free", done.stderr)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("x" * 300, "File name too long"),
        ("recipe.yaml/run", "Not a directory"),
        ("/proc/run", "No such file or directory"),
    ],
)
def test_a_folder_that_cannot_be_created(
    write_recipe: Any, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str
) -> None:
    recipe = write_recipe()
    monkeypatch.chdir(tmp_path)
    done = here("run", recipe, "--output", output, check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {output}: {reason}. ")


def test_a_folder_that_is_removed_during_the_run_is_not_created_again(write_recipe: Any, tmp_path: Path) -> None:
    from rich.console import Console

    loaded, folder = load_recipe(write_recipe(), [], find_tasks()), tmp_path / "run"

    def remove(evaluation: int, score: float | None) -> None:
        shutil.rmtree(folder)

    options = RunOptions(folder, False, False, "ftk run x", Console(quiet=True), after_evaluation=remove)
    with pytest.raises(
        StorageError, match=r"run\.lock: No such file or directory\. .*was removed while(.|\n)* --resume"
    ):
        run(loaded, options)
    assert not folder.exists()


@pytest.mark.slow
def test_signals_while_a_checkpoint_is_saved(write_recipe: Any, here: Any, tmp_path: Path) -> None:
    """The first signal waits for the checkpoint; the second one ends the command, and both print the command to resume."""
    recipe = write_recipe(training__num_train_epochs=40)
    for times, kept in ((1, "a checkpoint is saved"), (2, "no checkpoint was saved yet")):
        folder = tmp_path / f"run_{times}"
        words = [sys.executable, "-c", SIGNALS_WHILE_SAVING, str(times), "run", str(recipe), "--output", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 143, done.stderr
        assert "stopped by SIGTERM" in done.stderr and kept in done.stderr
        assert done.stderr.endswith(f"Resume with:\n  ftk run {recipe} --output {folder} --resume\n")
        assert not (folder / "run.lock").exists()
    here("run", recipe, "--output", folder, "--resume")


@pytest.mark.slow
def test_a_signal_before_training_and_a_closed_output(write_recipe: Any, tmp_path: Path) -> None:
    recipe, folder = write_recipe(), tmp_path / "run"
    words = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), "--output", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stdout.readline().startswith("recipe")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and errors.startswith("stopped by SIGTERM; ") and "Traceback" not in errors
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["scores"]
