"""Weights that are missing, of another shape, of another model or not finite are refused when they are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.models.adapters import attach, carried_modules, load_adapter, save_model
from ft_toolkit.models.pretrained import Checkpoint, load_model, load_saved_config, load_tokenizer
from ft_toolkit.models.weights import load_finished, load_weights
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
CLASS = "AutoModelForSequenceClassification"
FINISHED = Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run" / "model"
SCHEMA = TASK.find_schema(TASK.settings(labels=["a", "b", "c"]), [{"text": "x", "label": "a"}], None, None)
QUERY = "encoder.layer.1.attention.self.query.weight"

Tensors = dict[str, torch.Tensor]


def _changed(source: Path, target: Path, change: Callable[[Tensors], Any], name: str = "model.safetensors") -> Path:
    """Return a copy of a model folder whose tensors `change` has changed."""
    shutil.copytree(source, target)
    tensors = load_file(target / name)
    change(tensors)
    save_file(tensors, target / name, metadata={"format": "pt"})
    return target


def _rename(tensors: Tensors, old: str, new: str) -> None:
    for name in [name for name in tensors if old in name]:
        tensors[name.replace(old, new)] = tensors.pop(name)


def _set(tensors: Tensors, name: str, value: float) -> None:
    tensors[name].view(-1)[3] = value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"bert.{QUERY}"), rf"1 tensor is missing \(bert.{QUERY}\)"),
        (lambda t: t.pop("classifier.bias"), r"1 tensor is missing \(classifier.bias\)"),
        (lambda t: t.update(extra=torch.ones(2)), r"1 tensor is unexpected \(extra\)"),
        (
            lambda t: t.update({"classifier.weight": torch.ones(2, 32)}),
            r"of another shape \(classifier.weight \(\[2, 32\] in the file, \[3, 32\] in the model\)\)",
        ),
        (
            lambda t: _set(t, f"bert.{QUERY}", float("nan")),
            rf"1 tensor is not finite \(NaN or infinite\) \(bert.{QUERY}\)",
        ),
        (lambda t: _set(t, "classifier.weight", float("inf")), r"not finite \(NaN or infinite\) \(classifier.weight\)"),
        # the names of another architecture
        (
            lambda t: _rename(t, "bert.", "distilbert."),
            r"39 tensors are missing .*and 34 more.*; 39 tensors are unexpected",
        ),
    ],
)
def test_a_damaged_finished_model_is_refused_with_the_names(change: Any, message: str, tmp_path: Path) -> None:
    folder = _changed(FINISHED, tmp_path / "model", change)
    with pytest.raises(ModelError, match=message):
        load_finished(folder, CLASS, load_saved_config(folder))


@pytest.mark.parametrize("text", [b"", b"not safetensors", None])
def test_a_truncated_file_is_refused(text: bytes | None, tmp_path: Path) -> None:
    shutil.copytree(FINISHED, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100] if text is None else text)
    with pytest.raises(
        ModelError, match=r"model: the weights cannot be loaded: .+\. Download or copy the folder again"
    ):
        load_finished(tmp_path / "model", CLASS, load_saved_config(tmp_path / "model"))


def _train_from(folder: Path) -> tuple[str, ...]:
    return load_model(folder, TASK, SCHEMA, load_tokenizer(folder), dropout=None, seed=0).new_modules


def _more_blocks(tensors: Tensors) -> None:
    for name in [name for name in tensors if "layer.1." in name]:
        tensors[name.replace("layer.1.", "layer.2.")] = tensors[name].clone()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"bert.{QUERY}"), rf"1 tensor is missing \(bert.{QUERY}\)"),
        (
            lambda t: t.update({f"bert.{QUERY}": torch.ones(16, 32)}),
            r"1 tensor is of another shape.*\[16, 32\] in the file",
        ),
        (lambda t: _set(t, f"bert.{QUERY}", float("nan")), r"1 tensor is not finite"),
        (lambda t: _rename(t, "bert.", "electra."), r"37 tensors are missing"),
        (_more_blocks, r"16 tensors are unexpected \(bert.encoder.layer.2.attention"),
    ],
)
def test_a_damaged_checkpoint_cannot_be_trained(change: Any, message: str, tmp_path: Path, tiny_bert: str) -> None:
    with pytest.raises(ModelError, match=f"do not fit bert with this config.json: {message}"):
        _train_from(_changed(Path(tiny_bert), tmp_path / "model", change))


def test_a_new_head_and_a_new_pooler_are_normal_for_training(tmp_path: Path, tiny_bert: str) -> None:
    assert _train_from(Path(tiny_bert)) == ("bert.pooler.dense", "classifier")
    other_head = _changed(
        Path(tiny_bert),
        tmp_path / "model",
        lambda t: t.update({"classifier.weight": torch.ones(9, 32), "qa.x": torch.ones(1)}),
    )
    assert _train_from(other_head) == ("bert.pooler.dense", "classifier")
    # names without the prefix of the base model, as AutoModel saves them
    plain = _changed(Path(tiny_bert), tmp_path / "plain", lambda t: _rename(t, "bert.", ""))
    assert _train_from(plain) == ("bert.pooler.dense", "classifier")


@pytest.fixture(scope="module")
def adapter(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of an adapter with head and pooler."""
    folder = tmp_path_factory.mktemp("adapter") / "model"
    folder.mkdir()
    loaded = load_model(Path(tiny_bert), TASK, SCHEMA, load_tokenizer(Path(tiny_bert)), dropout=None, seed=0)
    method = LoraMethod(name="lora")
    model = attach(loaded.model, method, loaded.new_modules, seed=0)
    save_model(model, method, Checkpoint(tiny_bert, Path(tiny_bert), None, None), folder)
    return folder


def _load_adapter(base: Path, folder: Path) -> Any:
    model, _ = load_weights(base, CLASS, load_saved_config(folder), carried=carried_modules(folder))
    return load_adapter(model, folder)


def test_the_base_of_an_adapter_needs_its_body_but_not_the_head(adapter: Path, tiny_bert: str, tmp_path: Path) -> None:
    assert sorted(carried_modules(adapter)) == ["bert.pooler.dense", "classifier"]
    _load_adapter(Path(tiny_bert), adapter)
    damaged = _changed(Path(tiny_bert), tmp_path / "base", lambda t: t.pop(f"bert.{QUERY}"))
    with pytest.raises(ModelError, match=rf"base: the weights do not fit bert.*missing \(bert.{QUERY}\)"):
        _load_adapter(damaged, adapter)


def test_a_head_that_neither_base_nor_adapter_has_is_refused(adapter: Path, tiny_bert: str, tmp_path: Path) -> None:
    shutil.copytree(adapter, tmp_path / "model")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (tmp_path / "model" / "adapter_config.json").write_text(
        json.dumps(config | {"modules_to_save": ["bert.pooler.dense"]})
    )
    with pytest.raises(ModelError, match=r"base model lacks weights.*1 tensor is missing \(classifier.weight\)"):
        _load_adapter(Path(tiny_bert), tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(next(name for name in t if "lora_B" in name)), r"1 tensor is missing \(base_model.*lora_B"),
        (lambda t: t.pop("base_model.model.classifier.bias"), "tensor 'base_model.model.classifier.bias' is missing"),
        (lambda t: t.update(extra=torch.ones(2)), r"1 tensor is unexpected \(extra\)"),
        (lambda t: _set(t, "base_model.model.classifier.weight", float("nan")), "not finite"),
        (
            lambda t: t.update({"base_model.model.classifier.bias": torch.ones(2)}),
            "cannot be loaded: size mismatch for .*classifier.*bias",
        ),
    ],
)
def test_a_damaged_adapter_is_refused(change: Any, message: str, adapter: Path, tiny_bert: str, tmp_path: Path) -> None:
    folder = _changed(adapter, tmp_path / "model", change, "adapter_model.safetensors")
    with quiet_libraries(), pytest.raises(ModelError, match=f"model: the weights.*{message}"):
        _load_adapter(Path(tiny_bert), folder)
