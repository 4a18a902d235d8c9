"""Files are written atomically, and a checkpoint is loaded only for its own data and recipe."""

from pathlib import Path

import pytest
import torch

from ft_toolkit.core import files
from ft_toolkit.core.errors import ResumeError
from ft_toolkit.training import checkpoint

RECIPE = {"training": {"seed": 1, "logging_steps": 5}, "data": {"train": "a.csv", "max_length": 8}, "reference": None}


def save(folder: Path, **changes: object) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    state = {"progress": {}, "history": {}, "fingerprint": "f", "processes": 1, "recipe": RECIPE, **changes}
    checkpoint.save_state(folder, state, model, optimizer.state_dict())


def test_an_interrupted_save_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "last"
    with files.atomic_folder(target) as fresh:
        (fresh / "a").write_text("first")
    with pytest.raises(ZeroDivisionError), files.atomic_folder(target) as fresh:
        (fresh / "a").write_text("second")
        _ = 1 / 0
    assert (target / "a").read_text() == "first"


def test_a_crash_between_the_renames_is_recovered(tmp_path: Path) -> None:
    target = tmp_path / "last"
    save(target)
    target.rename(tmp_path / ".last.old")
    found, state = checkpoint.read_state(target, RECIPE, "f", 1)
    assert found.name == ".last.old" and state["fingerprint"] == "f"


def test_weights_come_back_exactly(tmp_path: Path) -> None:
    model, other = torch.nn.Linear(5, 4), torch.nn.Linear(5, 4)
    checkpoint.save_weights(model, tmp_path / "w.safetensors")
    checkpoint.load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(model.weight, other.weight) and torch.equal(model.bias, other.bias)
    with pytest.raises(ResumeError, match="do not fit this model"):
        checkpoint.load_weights(torch.nn.Linear(5, 3), tmp_path / "w.safetensors")


def test_another_setting_other_rows_or_processes_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "last"
    save(target)
    with pytest.raises(ResumeError, match="checkpoint not found"):
        checkpoint.read_state(tmp_path / "none", RECIPE, "f", 1)
    with pytest.raises(ResumeError, match="belongs to other rows"):
        checkpoint.read_state(target, RECIPE, "g", 1)
    with pytest.raises(ResumeError, match=r"an optimizer step had 1 micro-batches .* now it has 2"):
        checkpoint.read_state(target, RECIPE, "f", 2)
    changed = {**RECIPE, "training": {"seed": 2, "logging_steps": 5}}
    with pytest.raises(ResumeError, match=r"training\.seed was 1, now 2"):
        checkpoint.read_state(target, changed, "f", 1)
    harmless = {**RECIPE, "training": {"seed": 1, "logging_steps": 9}, "data": {"train": "b.csv", "max_length": 8}}
    assert checkpoint.read_state(target, harmless, "f", 1)[0] == target


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_the_split_of_a_step_may_change_but_not_its_rows() -> None:
    def recipe(**training: int) -> dict[str, dict[str, int]]:
        return {"training": training}

    eight = recipe(examples_per_batch=8, gradient_accumulation_steps=1)
    assert not checkpoint.training_changes(eight, recipe(examples_per_batch=4, gradient_accumulation_steps=1), (2, 4))
    assert not checkpoint.training_changes(eight, recipe(examples_per_batch=8, gradient_accumulation_steps=2), (2, 1))
    assert checkpoint.training_changes(eight, eight, (2, 1))[0].endswith("set training.gradient_accumulation_steps=2")
    assert "set training" not in checkpoint.training_changes(eight, eight, (2, 4))[0]
    tokens = recipe(tokens_per_batch=512, gradient_accumulation_steps=1)
    assert not checkpoint.training_changes(tokens, recipe(tokens_per_batch=512, gradient_accumulation_steps=2), (2, 1))
    assert checkpoint.training_changes(tokens, recipe(tokens_per_batch=1024, gradient_accumulation_steps=1), (2, 1))
