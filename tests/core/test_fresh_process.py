"""The process of the reload check has the user's environment, but not that of a launcher."""

import json
import signal
import subprocess
import sys

import pytest

from ft_toolkit.core import fresh_process
from ft_toolkit.core.errors import ReloadError


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


@pytest.mark.parametrize(
    ("signum", "message"),
    [
        (signal.SIGSTOP, r"did not answer within 0 s \(process \d+\); perhaps it was stopped"),
        (signal.SIGKILL, r"was ended by SIGKILL \(perhaps by the system, because memory ran out\)"),
        (signal.SIGTERM, "was ended by SIGTERM"),
    ],
)
def test_a_process_that_was_stopped_or_ended_by_a_signal(signum: signal.Signals, message: str) -> None:
    with fresh_process.FreshProcess() as process:
        process._process.send_signal(signum)
        if signum != signal.SIGSTOP:
            process._process.wait()
        with pytest.raises(ReloadError, match=message) as raised:
            process.run("predict", limit=0.3)
    assert raised.value.may_succeed
    assert not process.is_running
