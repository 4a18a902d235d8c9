"""A damaged model folder is refused where it is loaded: by load(), 'ftk predict' and 'ftk evaluate'."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import ft_toolkit
from ft_toolkit.core.errors import ModelError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "d305cf2"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A run folder whose model lacks a tensor of a block."""
    shutil.copytree(FIXTURE / "run", tmp_path / "run")
    file = tmp_path / "run" / "model" / "model.safetensors"
    tensors = load_file(file)
    del tensors["bert.encoder.layer.0.output.dense.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    return tmp_path / "run"


def test_every_command_refuses_a_model_with_a_missing_tensor(damaged: Path, here: Any, tmp_path: Path) -> None:
    """It predicted with random weights: two loads gave two answers."""
    message = "1 tensor is missing (bert.encoder.layer.0.output.dense.weight)"
    with pytest.raises(ModelError, match="1 tensor is missing"):
        ft_toolkit.load(damaged)
    for words in (["predict", damaged, "a text"], ["evaluate", damaged, "--data", FIXTURE / "test.csv"]):
        done = here(*words, check=False)
        assert (done.returncode, done.stdout.count("{")) == (2, 0)
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
