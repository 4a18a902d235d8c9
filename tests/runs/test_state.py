"""The state of a run keeps the keys of the checkpoint files of earlier versions."""

import json
import time
from pathlib import Path

from ft_toolkit.runs.state import RunState
from ft_toolkit.training.head_probe import HeadProbe

OLD_STATE = Path(__file__).parents[1] / "fixtures/d305cf2/interrupted/checkpoints/last/state.json"


def test_the_state_of_an_old_checkpoint_is_read_and_written_under_the_same_keys():
    saved = json.loads(OLD_STATE.read_text(encoding="utf-8"))
    state = RunState.from_json(saved, time.perf_counter())
    assert state.best is not None and state.best.step == 6 and state.progress.step == 8
    assert not state.is_evaluated, "the last evaluation was after step 6"
    written = state.to_json()
    assert written["progress"] == {**saved["progress"], "skipped_steps": 0}
    assert written["history"] == {**saved["history"], "earlier_seconds": written["history"]["earlier_seconds"]}
    assert 0 <= written["history"]["earlier_seconds"] - saved["history"]["earlier_seconds"] < 1


def test_a_new_state_survives_a_checkpoint():
    state = RunState(
        time.perf_counter(), head_probe=HeadProbe("classifier", 32, 0.1, 1.1, 0.5, 0.01), right_counts=[0, 2]
    )
    restored = RunState.from_json(json.loads(json.dumps(state.to_json())), time.perf_counter())
    assert restored.head_probe == state.head_probe and restored.right_counts == [0, 2]
    assert restored.best is None and restored.progress == state.progress


def test_patience_counts_evaluations_without_improvement():
    state = RunState(time.perf_counter(), bad_evaluations=2)
    assert state.is_out_of_patience(2) and not state.is_out_of_patience(3) and not state.is_out_of_patience(None)
