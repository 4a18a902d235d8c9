"""Damaged checkpoints are recognized, and the previous complete one takes their place."""

import json
from pathlib import Path

import pytest
import torch

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.run_folder import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    PREVIOUS_BEST_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
)
from ft_toolkit.training import checkpoint
from ft_toolkit.training.checkpoint_files import last_step, restore_checkpoints


def weights_at(step: int) -> torch.nn.Linear:
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, step)
    return model


def save(folder: Path, step: int, best: int) -> None:
    """Save the checkpoint of a step, and the best weights if the step is the best one."""
    model = weights_at(step)
    if best == step:
        checkpoint.save_best(folder / BEST_CHECKPOINT, step, model, folder / PREVIOUS_BEST_CHECKPOINT)
    history = {"best": {"score": 0.5, "step": best}, "scores": {9: 1, 10: 2}}
    state = {"progress": {"step": step}, "history": history, "fingerprint": "f", "processes": 1, "recipe": {}}
    optimizer = torch.optim.AdamW(model.parameters()).state_dict()
    checkpoint.save_state(folder / LAST_CHECKPOINT, state, model, optimizer, folder / PREVIOUS_CHECKPOINT)


def best_value(folder: Path) -> float:
    model = torch.nn.Linear(3, 2)
    checkpoint.load_weights(model, folder / BEST_CHECKPOINT / "weights.safetensors")
    return model.weight[0, 0].item()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES = [cut, empty, Path.unlink, flip_one_bit]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["state.json", "weights.safetensors", "optimizer.pt"])
def test_a_damaged_file_of_the_last_checkpoint(tmp_path: Path, name: str, damage) -> None:
    save(tmp_path, 10, best=10)
    save(tmp_path, 20, best=20)
    damage(tmp_path / LAST_CHECKPOINT / name)
    (note,) = restore_checkpoints(tmp_path)
    assert "checkpoints/last is damaged" in note and name in note and note.endswith("from the checkpoint of step 10")
    assert (last_step(tmp_path), best_value(tmp_path)) == (10, 10)
    assert restore_checkpoints(tmp_path) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_best_weights_are_taken_from_the_checkpoint_of_the_same_step(tmp_path: Path, damage) -> None:
    save(tmp_path, 10, best=10)
    save(tmp_path, 20, best=10)
    damage(tmp_path / BEST_CHECKPOINT / "weights.safetensors")
    assert restore_checkpoints(tmp_path) == []
    assert (last_step(tmp_path), best_value(tmp_path)) == (20, 10)


def test_damaged_best_weights_without_a_copy_give_the_checkpoint_before_them(tmp_path: Path) -> None:
    save(tmp_path, 10, best=10)
    save(tmp_path, 20, best=20)
    save(tmp_path, 30, best=20)
    for name in (BEST_CHECKPOINT, PREVIOUS_CHECKPOINT):
        cut(tmp_path / name / "weights.safetensors")
    with pytest.raises(ResumeError, match=r"To start again at step 0, delete .*checkpoints"):
        restore_checkpoints(tmp_path)


def test_a_kill_between_the_best_weights_and_the_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 10, best=10)
    checkpoint.save_best(tmp_path / BEST_CHECKPOINT, 20, weights_at(20), tmp_path / PREVIOUS_BEST_CHECKPOINT)
    assert restore_checkpoints(tmp_path) == []
    assert (last_step(tmp_path), best_value(tmp_path)) == (10, 10)


def test_a_kill_between_the_renames(tmp_path: Path) -> None:
    save(tmp_path, 10, best=10)
    (tmp_path / LAST_CHECKPOINT).rename(tmp_path / PREVIOUS_CHECKPOINT)
    assert restore_checkpoints(tmp_path) == []
    assert last_step(tmp_path) == 10


def test_a_checkpoint_of_an_earlier_version_has_no_hashes(tmp_path: Path) -> None:
    save(tmp_path, 10, best=10)
    path = tmp_path / LAST_CHECKPOINT / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: state[key] for key in state if key not in ("files", "sha256")}), encoding="utf-8")
    (tmp_path / BEST_CHECKPOINT / "state.json").unlink()
    assert restore_checkpoints(tmp_path) == []


def test_the_last_step_is_that_of_the_newest_complete_checkpoint(tmp_path: Path) -> None:
    assert last_step(tmp_path) == 0
    save(tmp_path, 10, best=10)
    save(tmp_path, 20, best=20)
    assert last_step(tmp_path) == 20
    flip_one_bit(tmp_path / LAST_CHECKPOINT / "weights.safetensors")
    assert last_step(tmp_path) == 10
