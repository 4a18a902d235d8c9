"""The process of the reload check has the user's environment, but not that of a launcher."""

import json
import subprocess
import sys

import pytest

from ft_toolkit.core import fresh_process


@pytest.mark.parametrize(
    ("variable", "inherited"),
    [("ACCELERATE_USE_CPU", True), ("MY_VARIABLE", True), ("ACCELERATE_MIXED_PRECISION", False), ("RANK", False)],
)
def test_the_variables_that_the_process_inherits(
    monkeypatch: pytest.MonkeyPatch, variable: str, inherited: bool
) -> None:
    monkeypatch.setenv(variable, "1")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env=fresh_process._offline_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    environment = json.loads(printed)
    assert (variable in environment) is inherited
    assert environment["HF_HUB_OFFLINE"] == "1"
