"""A run that was killed at any point is completed by --resume; two processes never write to one run folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.runs.action import RECIPE_HEADER, Action, choose_action
from ft_toolkit.tasks import find_tasks

LAST = "checkpoints/last"
FILES = ("model/model.safetensors", "predictions.jsonl")


def make(*names: str, recipe: str = f"{RECIPE_HEADER}    ftk run x\ntask: ner\n") -> Callable[[Path], None]:
    """Return a function that creates files (and folders, with a slash at the end) in a folder."""

    def create(folder: Path) -> None:
        for name in names:
            path = folder / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                path.write_text(recipe if path.name == "recipe.yaml" else "x", encoding="utf-8")

    return create


@pytest.fixture
def loaded(write_recipe: Any) -> LoadedRecipe:
    return load_recipe(write_recipe(), [], find_tasks())


@pytest.mark.damaged_run_folders
@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ((), []),
        (("run.lock", ".recipe.yaml.new", "input_rows/train.jsonl"), [".recipe.yaml.new", "input_rows", "run.lock"]),
        (("new_model/config.json", ".stand_in_model.new/x", "merged_model/"), [".stand_in_model.new"]),
        (("recipe.yaml", "environment.json", "metrics.jsonl"), ["environment.json", "metrics.jsonl", "recipe.yaml"]),
        (("recipe.yaml", "checkpoints/best/weights.safetensors", "checkpoints/.last.new/x"), ["recipe.yaml"]),
        (("recipe.yaml", "tracker/events", "notes.txt"), ["notes.txt", "recipe.yaml", "tracker"]),
    ],
)
def test_a_folder_without_a_checkpoint_starts_at_step_0(
    tmp_path: Path, loaded: LoadedRecipe, names: tuple[str, ...], kept: list[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    make(*names)(folder)
    assert choose_action(folder, loaded, 1, smoke=False) is Action.START
    assert sorted(path.name for path in folder.iterdir()) == kept


@pytest.mark.damaged_run_folders
@pytest.mark.parametrize("create", [make("notes.txt"), make("recipe.yaml", "notes.txt", recipe="task: ner\n")])
def test_a_folder_of_the_user_is_refused_and_kept(
    tmp_path: Path, loaded: LoadedRecipe, create: Callable[[Path], None]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    create(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(UsageError, match="is not a run folder"):
        choose_action(folder, loaded, 1, smoke=False)
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, here: Any, data_files: dict[str, str], tiny_bert: str) -> Path:
    """A finished run next to its recipe."""
    folder = tmp_path_factory.mktemp("finished")
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert, "dropout": 0.2},
        "data": {**data_files, "max_length": 64},
        "method": "full",
        "training": {"learning_rate": 1e-3, "num_train_epochs": 2, "examples_per_batch": 4, "save_steps": 3},
        "evaluation": {"bootstrap_samples": 100, "baselines": ["majority"]},
    }
    (folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    here("run", folder / "recipe.yaml", "--output", folder / "run")
    return folder / "run"


def test_resume_starts_without_a_checkpoint_and_skips_a_finished_run(finished: Path, here: Any, tmp_path: Path) -> None:
    recipe, folder = finished.parent / "recipe.yaml", tmp_path / "new" / "run"
    started = here("run", recipe, "--output", folder, "--resume")
    assert f"note: {folder} has no checkpoint yet; the run starts at step 0" in started.stdout
    for name in FILES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = here("run", recipe, "--output", folder, "--resume")
    assert f"the run in {folder} is already finished; see {folder / 'report.html'}" in again.stdout
    assert "accuracy" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")}.items() >= {
        path: time for path, time in times.items() if path.is_file()
    }.items()
    other = here("run", recipe, "training.seed=7", "--output", folder, "--resume", check=False)
    assert other.returncode == 2 and "is a run of another recipe: training.seed was 13, now 7" in other.stderr


def killed_before(operation: str, recipe: Path, folder: Path) -> None:
    """Run a recipe in a process that is killed before an operation on a file whose path ends with `operation`."""
    code = (
        (
            "import os, signal, sys\n"
            "def hook(event, args):\n"
            "    if event == 'os.rename' and str(args[1]).endswith(sys.argv[1]):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "sys.addaudithook(hook)\n"
            "from ft_toolkit.cli.app import main\n"
            "end, sys.argv = sys.argv[1], ['ftk', *sys.argv[2:]]\n"
            "sys.argv[1:1] = []\n"
            "main()\n"
        )
        .replace("sys.argv[1])", "END)")
        .replace("import os, signal, sys\n", "import os, signal, sys\nEND = sys.argv[1]\n")
    )
    words = [sys.executable, "-c", code, operation, "run", str(recipe), "--output", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_killed_before_its_results_are_written_gets_its_page_and_its_results(
    finished: Path, here: Any, tmp_path: Path
) -> None:
    recipe, folder = finished.parent / "recipe.yaml", tmp_path / "run"
    killed_before("results.json", recipe, folder)
    assert (folder / "report.html").is_file() and (folder / "README.md").is_file()
    assert (folder / LAST).is_dir() and not (folder / "results.json").exists()
    assert (folder / "run.lock").is_file()
    here("run", recipe, "--output", folder, "--resume")
    for name in FILES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    names = [sorted(path.name for path in run.iterdir()) for run in (folder, finished)]
    assert names[0] == names[1]


def test_a_folder_in_use_is_refused(finished: Path, here: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    code = "import sys, pathlib, ft_toolkit.core.run_lock as l; l.RunLock(pathlib.Path(sys.argv[1])); input(print(1))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None and process.stdout.readline()
    for words in (["--resume"], []):
        done = here("run", finished.parent / "recipe.yaml", "--output", folder, *words, check=False)
        assert done.returncode == 2 and f"{folder} is in use by process {process.pid} on " in done.stderr
    process.kill()
    process.communicate()
    shutil.rmtree(folder)


def test_the_report_is_written_again(finished: Path, check_report_again: Any) -> None:
    check_report_again(finished, "report.html", "README.md", "model/README.md")
