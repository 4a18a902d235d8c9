"""Adapters of finished runs: a moved base model, and further training from an adapter."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ft_toolkit
from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.inference.write_model_folder import write_model_folder
from ft_toolkit.models.adapter_runs import is_adapter, merge_adapter
from ft_toolkit.models.pretrained import find_checkpoint
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare

FINISHED = Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run"
TEXT = "good the lamp fine 3"


@pytest.fixture
def base(tiny_bert: str, tmp_path: Path) -> Path:
    """A copy of the base model, which a test can move."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "base"))


@pytest.fixture
def run(base: Path, write_recipe: Any, tmp_path: Path) -> Path:
    """A run folder with the model folder of an adapter, whose new weights are not zero."""
    recipe = write_recipe(model__name=str(base), method={"name": "lora"}, training__mixed_precision="no")
    prepared = prepare(load_recipe(recipe, [], find_tasks()), work_folder=tmp_path)
    model = build_model(prepared).model
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 5)
    write_model_folder(tmp_path / "run" / "model", prepared, model, lambda saved: None)
    return tmp_path / "run"


def test_a_moved_base_model_is_named_and_can_be_given(run: Path, base: Path, tmp_path: Path, here: Any) -> None:
    before = ft_toolkit.load(run)(TEXT)
    base.rename(tmp_path / "elsewhere")
    message = rf"run/model is an adapter, and its base model was not found: .*{base}.*--base FOLDER.*base=FOLDER"
    with pytest.raises(ModelError, match=message) as error:
        ft_toolkit.load(run)
    assert "Set model.name" not in str(error.value), "predict has no such setting"
    assert ft_toolkit.load(run, base=tmp_path / "elsewhere")(TEXT) == before
    done = here("predict", run, TEXT, "--base", tmp_path / "elsewhere")
    assert json.loads(done.stdout) == before


def test_a_folder_of_an_earlier_version_is_read(run: Path) -> None:
    """It has the config beside the adapter, and no hash of the base model."""
    before, folder = ft_toolkit.load(run)(TEXT), run / "model"
    shutil.move(folder / "base_config" / "config.json", folder / "config.json")
    (folder / "base_config").rmdir()
    contract = json.loads((folder / "inference.json").read_text())
    del contract["base_model"]["weights_sha256"]
    (folder / "inference.json").write_text(json.dumps(contract))
    assert ft_toolkit.load(run)(TEXT) == before
    checkpoint = find_checkpoint(ModelSection(name=str(run)))
    assert is_adapter(checkpoint) and merge_adapter(checkpoint, run / "merged").is_merged


def test_another_model_in_place_of_the_base_is_refused(run: Path, base: Path) -> None:
    with pytest.raises(ModelError, match=r"is not the base model of .*: its weights differ"):
        ft_toolkit.load(run, base=FINISHED.parent / "base_model")
    with pytest.raises(UsageError, match="is a complete model, which has no base model; remove --base"):
        ft_toolkit.load(FINISHED, base=base)


def test_a_run_folder_as_checkpoint_means_its_model(run: Path) -> None:
    for name in (run, run / "model"):
        checkpoint = find_checkpoint(ModelSection(name=str(name)))
        assert checkpoint.folder == run / "model" and is_adapter(checkpoint)
    checkpoint = find_checkpoint(ModelSection(name=str(FINISHED)))
    assert checkpoint.folder == FINISHED / "model" and not is_adapter(checkpoint)


def test_training_continues_from_the_merged_weights_of_an_adapter(run: Path, write_recipe: Any, tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(model__name=str(run), method={"name": "lora"}), [], find_tasks())
    prepared = prepare(recipe, work_folder=tmp_path / "next")
    assert prepared.checkpoint.is_merged and prepared.checkpoint.folder == tmp_path / "next" / "merged_model"
    built = build_model(prepared)
    assert built.new_modules == ()  # the head of the adapter is kept
    adapted = ft_toolkit.load(run).model
    ids = prepared.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(built.model.eval()(**ids).logits, adapted(**ids).logits, atol=1e-5, rtol=1e-5)
    written = (prepared.checkpoint.folder / "model.safetensors").stat().st_mtime_ns
    again = prepare(recipe, work_folder=tmp_path / "next").checkpoint
    assert (again.folder / "model.safetensors").stat().st_mtime_ns == written, "a resumed run reuses the folder"


def test_an_adapter_of_another_program_is_refused_with_the_remedy(run: Path, tmp_path: Path) -> None:
    (run / "model" / "inference.json").unlink()
    checkpoint = find_checkpoint(ModelSection(name=str(run / "model")))
    with pytest.raises(
        ModelError, match=r"is a peft adapter without inference\.json.*merge_and_unload, then save_pretrained"
    ):
        merge_adapter(checkpoint, tmp_path / "merged")
