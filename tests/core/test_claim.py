"""A command that was killed after its results were complete succeeds when it is repeated."""

import json
import shutil
from pathlib import Path

import pytest

from ft_toolkit.core.claim import is_complete
from ft_toolkit.core.run_lock import RunLock

RESULTS = json.loads((Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run" / "results.json").read_text())


@pytest.fixture
def killed(tmp_path):
    """A folder with complete results and the lock of a process that ended."""
    folder = tmp_path / "run"
    folder.mkdir()
    lock = RunLock(folder)
    (folder / "results.json").write_text(json.dumps({**RESULTS, "command": "ftk evaluate x"}), encoding="utf-8")
    shutil.copy(folder / "run.lock", tmp_path / "lock")
    lock.release()
    record = json.loads((tmp_path / "lock").read_text(encoding="utf-8"))
    (folder / "run.lock").write_text(json.dumps({**record, "pid": 2**22 + 1}), encoding="utf-8")
    return folder


def test_complete_results_of_the_same_command_are_accepted_once(killed):
    assert not is_complete(killed, "ftk evaluate y")
    assert is_complete(killed, "ftk evaluate x")
    assert not (killed / "run.lock").exists()
    assert not is_complete(killed, "ftk evaluate x"), (
        "without the lock of a killed process, the folder belongs to the user"
    )
    assert not is_complete(None, "ftk evaluate x")
