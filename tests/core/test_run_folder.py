"""The command that goes on with a run, from the command that started it."""

import shlex
from pathlib import Path

import pytest

from ft_toolkit.core.run_folder import resume_command


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
