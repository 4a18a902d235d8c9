"""The command that goes on with a run, from the command that started it."""

import shlex
from pathlib import Path

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import check_folder, resume_command


@pytest.mark.parametrize(
    "command",
    [
        "ftk run demo 'method={name: lora, r: 4}'",
        "ftk run demo 'method={name: lora, r: 4}' --output 'my runs/a'",
        "ftk run demo 'method={name: lora, r: 4}' '--output=my runs/a' --resume",
    ],
)
def test_the_command_to_go_on_names_folder_and_resume_once(command: str) -> None:
    words = shlex.split(resume_command(command, Path("my runs/a")))
    assert words == ["ftk", "run", "demo", "method={name: lora, r: 4}", "--output", "my runs/a", "--resume"]


@pytest.mark.damaged_run_folders
@pytest.mark.parametrize(
    ("names", "is_free"),
    [
        ([], True),
        (["run.lock"], True),
        (["run.lock", ".run.lock.1a", ".recipe.yaml.new", "new_model", "input_rows"], True),
        (["run.lock", "predictions.jsonl", "examples.npz", ".report.html.new", "model"], True),
        (["predictions.jsonl"], False),
        (["run.lock", "recipe.yaml"], False),
        (["run.lock", "results.json"], False),
        (["run.lock", "notes.txt"], False),
    ],
)
def test_a_folder_that_was_killed_before_it_had_content_can_be_used_again(
    tmp_path: Path, names: list[str], is_free: bool
) -> None:
    for name in names:
        (tmp_path / name).touch()
    if is_free:
        check_folder(tmp_path, resume=False)
        return
    with pytest.raises(UsageError, match="exists and is not empty"):
        check_folder(tmp_path, resume=False)
