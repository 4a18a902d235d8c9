"""Shell completion of recipes, runs, settings and choices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ft_toolkit.cli.completion import complete_recipe, complete_run, complete_setting


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes(folder: Path) -> None:
    Path("my_task.yaml").write_text("task: ner")
    Path("mine").mkdir()
    Path("mine/deep.yaml").write_text("task: ner")
    Path("my_rows.csv").write_text("text")
    assert complete_recipe("dem") == ["demo"]
    assert complete_recipe("m") == ["mine/", "my_task.yaml"]
    assert complete_recipe("mine/d") == ["mine/deep.yaml"]
    assert complete_recipe("nowhere/d") == []


@pytest.mark.damaged_run_folders
def test_runs(folder: Path) -> None:
    for name in ("runs/a", "runs/b", "evaluations/c"):
        Path(name).mkdir(parents=True)
        Path(name, "results.json").write_text("{}")
    Path("runs/unfinished").mkdir()
    assert complete_run("") == ["runs/a", "runs/b", "evaluations/c"]
    assert complete_run("runs/u") == ["runs/unfinished/"]


def test_settings() -> None:
    assert complete_setting("training.lea") == ["training.learning_rate="]
    assert "task.problem_type=" in complete_setting("task.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ftk eva", "evaluate"),
        ("ftk run dem", "demo"),
        ("ftk show demo training.learn", "training.learning_rate="),
        ("ftk runs --sort sc", "score"),
    ],
)
def test_bash_gets_the_completions(line: str, expected: str) -> None:
    environment = {
        **os.environ,
        "_FTK_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    code = "import sys; sys.argv = ['ftk']; from ft_toolkit.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == [expected], done.stderr
