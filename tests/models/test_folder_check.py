"""A model folder from a stranger runs no code, reads no other files, and gets no answer from standard input."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_records import BaseModelReference, read_contract, write_contract
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.models.adapters import attach, save_model
from ft_toolkit.models.folder_check import check_files
from ft_toolkit.models.pretrained import Checkpoint, load_model, load_tokenizer
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.recipe.saved_task import load_saved_task
from ft_toolkit.tasks import find_tasks

FIXTURE = Path(__file__).parents[1] / "fixtures" / "d305cf2"
CODE = """
from pathlib import Path
Path({marker!r}).write_text("the code of the model ran")
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
class Config(BertConfig):
    model_type = "stranger"
class Model(BertForSequenceClassification):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
def generate(*arguments, **options):
    raise AssertionError
"""
CONFIG_CODE = {
    "AutoConfig": "code.Config",
    "AutoModel": "code.Model",
    "AutoModelForSequenceClassification": "code.Model",
}


def change_json(path: Path, **values: Any) -> None:
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**old, **values}), encoding="utf-8")


def nested_code(folder: Path) -> None:
    """Put code into a folder `custom_generate`, and name it in the generation config."""
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "code.py", folder / "custom_generate" / "generate.py")
    change_json(folder / "generation_config.json", custom_generate=str(folder))


# Each attack changes a model folder that contains code.py.
ATTACKS: dict[str, Callable[[Path], None]] = {
    "a config of an unknown type": lambda f: change_json(f / "config.json", model_type="stranger", auto_map=CONFIG_CODE),
    "a config of a known type": lambda f: change_json(f / "config.json", auto_map=CONFIG_CODE),
    "code in another repository": lambda f: change_json(
        f / "config.json", model_type="stranger", auto_map={"AutoConfig": "owner/name--code.Config"}
    ),
    "a nested config": lambda f: change_json(f / "config.json", text_config={"x": [{"auto_map": CONFIG_CODE}]}),
    "a tokenizer": lambda f: change_json(
        f / "tokenizer_config.json", tokenizer_class="Tokenizer", auto_map={"AutoTokenizer": ["code.Tokenizer", None]}
    ),
    "a tokenizer of the old form": lambda f: change_json(
        f / "tokenizer_config.json", tokenizer_class="Tokenizer", auto_map=["code.Tokenizer", None]
    ),
    "a tokenizer of config.json": lambda f: change_json(
        f / "config.json", tokenizer_class="Tokenizer", auto_map={"AutoTokenizer": ["code.Tokenizer", None]}
    ),
    "a generation loop": nested_code,
    "a kernel": lambda f: change_json(f / "config.json", _attn_implementation="stranger/kernel"),
    "a kernel in a nested config": lambda f: change_json(f / "config.json", x={"attn_implementation": "stranger/kernel"}),
    "weights in another folder": lambda f: change_json(f / "config.json", transformers_weights="../other.safetensors"),
    "an index of other folders": lambda f: (
        (f / "model.safetensors").unlink(),
        change_json(f / "model.safetensors.index.json", metadata={}, weight_map={"a": "../../x.safetensors"}),
    )[0],
    "a vocabulary in another folder": lambda f: change_json(f / "tokenizer_config.json", vocab_file="/etc/passwd"),
    "an adapter beside a complete model": lambda f: change_json(
        f / "adapter_config.json", peft_type="LORA", base_model_name_or_path="stranger/model"
    ),
    "an adapter of another type": lambda f: change_json(f / "adapter_config.json", peft_type="XLORA", adapters={"0": "x/y"}),
}  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Copies of a finished model and of a base model that contain code.py, and the file that the code would write."""
    marker = tmp_path / "the code ran"
    copies = []
    for name in ("run/model", "base_model"):
        copy = tmp_path / Path(name).name
        shutil.copytree(FIXTURE / name, copy)
        (copy / "code.py").write_text(CODE.format(marker=str(marker)), encoding="utf-8")
        copies.append(copy)
    return copies[0], copies[1], marker


@pytest.fixture
def says_yes(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """A standard input that answers every question with y."""
    stream = io.TextIOWrapper(io.BytesIO(b"y\n" * 50))
    monkeypatch.setattr(sys, "stdin", stream)
    return stream


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_finished_model_runs_no_code(attack: str, folders: Any, says_yes: Any, here: Any) -> None:
    finished, _, marker = folders
    ATTACKS[attack](finished)
    done = here("predict", finished, "hello", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert not marker.exists() and "y\n" in says_yes.read()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_checkpoint_runs_no_code(attack: str, folders: Any, says_yes: Any, here: Any, write_recipe: Any) -> None:
    _, base, marker = folders
    ATTACKS[attack](base)
    done = here("run", write_recipe(), f"model.name={base}", "--dry-run", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert not marker.exists() and "y\n" in says_yes.read()


@pytest.mark.parametrize("attack", ["a tokenizer", "a vocabulary in another folder"])
def test_the_tokenizer_of_a_new_model_runs_no_code(
    attack: str, folders: Any, says_yes: Any, here: Any, write_recipe: Any
) -> None:
    _, base, marker = folders
    ATTACKS[attack](base)
    recipe = write_recipe(model__name=None, model__config={"model_type": "gpt2"}, model__tokenizer=str(base))
    done = here("run", recipe, "--dry-run", check=False)
    assert done.returncode == 2 and "tokenizer_config.json" in done.stderr
    assert not marker.exists() and "y\n" in says_yes.read()


def adapter(folder: Path, base: Path) -> Path:
    """Write an untrained LoRA adapter of a base model, with the inference.json of a finished model."""
    source = FIXTURE / "run" / "model"
    contract = read_contract(source)
    saved = load_saved_task(source / "inference.json", contract.task, contract.settings, contract.task_schema)
    task, schema = saved.task, saved.schema
    tokenizer = load_tokenizer(base)
    with quiet_libraries():
        loaded = load_model(base, task, schema, tokenizer, dropout=None, seed=1)
        model = attach(loaded.model, LoraMethod(name="lora", r=2), loaded.new_modules, seed=1)
        save_model(model, LoraMethod(name="lora", r=2), Checkpoint(str(base), base, None, None), folder)
    tokenizer.save_pretrained(folder)
    reference = BaseModelReference(name=str(base), revision=None, sha256=None, weights_sha256=None)
    write_contract(folder, contract.model_copy(update={"base_model": reference}))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "XLORA", "adapters": {"0": "stranger/adapter"}}, "adapters of type 'XLORA' are not supported"),
        ({"peft_type": ["LORA"]}, "are not supported"),
        ({"megatron_config": {"x": 1}, "megatron_core": "code"}, "found megatron_config="),
        ({"megatron_core": "code"}, "found megatron_core='code'"),
        ({"corda_config": {"covariance_file": "/etc/passwd"}}, "found corda_config="),
        ({"target_modules": "(x+x+)+y"}, "found target_modules="),
        ({"modules_to_save": {"a": 1}}, "found modules_to_save="),
        ({"rank_pattern": {"(x+x+)+y": 1}}, "found rank_pattern="),
        ({"r": 10**9}, "found r=1000000000"),
        ({"r": "8"}, "found r='8'"),
    ],
)
def test_an_adapter_has_only_the_settings_that_ft_toolkit_writes(
    change: dict[str, Any], message: str, folders: Any
) -> None:
    finished, base, _ = folders
    folder = adapter(finished.parent / "adapter", base)
    LoadedModel(str(folder))
    change_json(folder / "adapter_config.json", **change)
    with pytest.raises(ModelError, match=r"adapter_config.json: .*") as caught:
        LoadedModel(str(folder))
    assert message in str(caught.value)


def test_the_base_model_of_an_adapter_runs_no_code(folders: Any, says_yes: Any, here: Any) -> None:
    finished, base, marker = folders
    folder = adapter(finished.parent / "adapter", base)
    ATTACKS["a config of an unknown type"](base)
    done = here("predict", folder, "hello", check=False)
    assert done.returncode == 2 and "auto_map" in done.stderr
    assert not marker.exists() and "y\n" in says_yes.read()


class Attack:
    """An object whose pickle runs code when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "adapter_model.bin"])
@pytest.mark.parametrize("writes", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_pickled_weights_run_no_code(name: str, writes: Any, folders: Any) -> None:
    finished, base, marker = folders
    for folder in (finished, base):
        (folder / "model.safetensors").unlink()
        writes({"a": Attack(marker)}, folder / name)
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        LoadedModel(str(finished))
    task = find_tasks()["text_classification"]
    schema = task.find_schema(task.settings(labels=["a", "b"]), [{"text": "x", "label": "a"}], None, None)
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        load_model(base, task, schema, load_tokenizer(base), dropout=None, seed=1)
    assert not marker.exists()


def test_pickled_tensors_of_a_checkpoint_are_read(folders: Any) -> None:
    """Old checkpoints on the Hub have no safetensors."""
    _, base, _ = folders
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    task = find_tasks()["text_classification"]
    schema = task.find_schema(task.settings(labels=["a", "b"]), [{"text": "x", "label": "a"}], None, None)
    load_model(base, task, schema, load_tokenizer(base), dropout=None, seed=1)


@pytest.mark.slow
def test_a_new_process_gives_libraries_no_standard_input(folders: Any) -> None:
    finished, _, marker = folders
    ATTACKS["a config of an unknown type"](finished)
    command = [sys.executable, "-m", "ft_toolkit", "predict", str(finished), "hello"]
    done = subprocess.run(command, input=b"y\n" * 20, capture_output=True, env=os.environ, check=False)
    assert done.returncode == 2 and not marker.exists() and b"auto_map" in done.stderr


@pytest.mark.parametrize(
    "text", ["[]", '{"a": ' * 2000, '{"a": ' * 60 + "1" + "}" * 60, '{"a": 1' + "0" * 5000 + "}", "\ud800", ""]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "adapter_config.json"])
def test_settings_that_cannot_be_read(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=name):
        check_files(tmp_path)


def test_a_file_of_settings_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(33 * 2**20)
    with pytest.raises(ModelError, match="the file has 33 MB; at most 32 MB are allowed"):
        check_files(tmp_path)
