"""A damaged or changed model folder predicts, or gives one clear error: finished models, adapters, ensembles, checkpoints."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import changed, damaged, damaged_json, is_clear, json_text
from hypothesis import given
from hypothesis import strategies as st

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_records import BaseModelReference, read_contract, write_contract
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.models.adapters import attach, save_model
from ft_toolkit.models.pretrained import Checkpoint, find_checkpoint, load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import make_tiny_model
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.recipe.saved_task import load_saved_task
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks import find_tasks

FIXTURE = Path(__file__).parents[1] / "fixtures" / "d305cf2"
TASKS = find_tasks()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished classifier."""
    folder = tmp_path_factory.mktemp("finished") / "model"
    shutil.copytree(FIXTURE / "run" / "model", folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, "num_beams": 2}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained LoRA adapter with the inference.json of a finished model."""
    source, base = FIXTURE / "run" / "model", FIXTURE / "base_model"
    folder = tmp_path_factory.mktemp("adapter") / "model"
    contract = read_contract(source)
    saved = load_saved_task(source, contract.task, contract.settings, contract.task_schema)
    method, tokenizer = LoraMethod(name="lora", r=2), load_tokenizer(base)
    with quiet_libraries():
        loaded = load_model(base, saved.task, saved.schema, tokenizer, dropout=None, seed=1)
        model = attach(loaded.model, method, loaded.new_modules, seed=1)
        save_model(model, method, Checkpoint(str(base), base, None, None), folder)
    tokenizer.save_pretrained(folder)
    write_contract(folder, contract.model_copy(update={"base_model": BaseModelReference(name=str(base))}))
    return folder


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two copies of a finished classifier."""
    folder = tmp_path_factory.mktemp("ensemble") / "model"
    for name in ("members/1", "members/2"):
        shutil.copytree(FIXTURE / "run" / "model", folder / name)
    shutil.copy(FIXTURE / "run" / "model" / "inference.json", folder)
    (folder / "ensemble.json").write_text(json.dumps({"members": ["members/1", "members/2"]}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of several architectures."""
    folder = tmp_path_factory.mktemp("checkpoints")
    texts = ["the lamp is red", "where is my parcel"]
    return {name: make_tiny_model(folder / name, texts, name) for name in ("bert", "gpt2", "t5")}


def with_header(content: bytes, change: Callable[[Any], bytes]) -> bytes:
    """Return a safetensors file with another header."""
    (size,) = struct.unpack("<Q", content[:8])
    header = change(json.loads(content[8 : 8 + size]))
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


@st.composite
def other_file(draw: st.DrawFn, path: Path) -> bytes | None:
    """Return another content of a file of a model folder; None to remove it."""
    content = path.read_bytes()
    if draw(st.integers(0, 19)) == 0:
        return None
    if path.suffix == ".json":
        return draw(damaged_json(json.loads(content)))
    if path.suffix == ".safetensors" and draw(st.booleans()):
        return with_header(
            content, lambda header: draw(changed(header).map(lambda value: json_text(value).encode("utf-8", "replace")))
        )
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=64))
    return draw(damaged(st.just(content)))


@contextmanager
def replaced(folder: Path, data: st.DataObject) -> Iterator[None]:
    """Replace one or two files of a folder in the context."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt", ".model"))
    chosen = data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=2, unique=True))
    old = {path: path.read_bytes() for path in chosen}
    try:
        for path in chosen:
            content = data.draw(other_file(path))
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        yield
    finally:
        for path, content in old.items():
            path.write_bytes(content)


def predict(folder: Path) -> None:
    """Load a model and predict. Fails for any exception but a clear error of the user."""
    try:
        with quiet_libraries():
            answer = LoadedModel(str(folder))("the lamp is red")
        assert isinstance(answer, dict)
        json.dumps(answer)
    except UsageError as error:
        assert is_clear(str(error)), str(error)


@given(data=st.data())
def test_a_changed_finished_model(finished: Path, data: st.DataObject) -> None:
    with replaced(finished, data):
        predict(finished)


@given(data=st.data())
def test_a_changed_adapter(adapter: Path, data: st.DataObject) -> None:
    with replaced(adapter, data):
        predict(adapter)


@given(data=st.data())
def test_a_changed_ensemble(ensemble: Path, data: st.DataObject) -> None:
    with replaced(ensemble, data):
        predict(ensemble)


@given(data=st.data(), architecture=st.sampled_from(["bert", "gpt2", "t5"]))
def test_a_changed_checkpoint(checkpoints: dict[str, Path], architecture: str, data: st.DataObject) -> None:
    folder = checkpoints[architecture]
    task = TASKS["summarization" if architecture == "t5" else "text_classification"]
    rows = [{"id": "1", "text": "x", "label": "a", "document": "x", "summary": "y"}]
    settings = task.settings(**({"labels": ["a", "b"]} if architecture != "t5" else {}))
    with replaced(folder, data):
        try:
            checkpoint = find_checkpoint(ModelSection(name=str(folder)))
            with quiet_libraries():
                tokenizer = load_tokenizer(checkpoint.folder)
                schema = task.find_schema(settings, rows, None, read_pretrained(checkpoint.folder, tokenizer))
                load_model(checkpoint.folder, task, schema, tokenizer, dropout=0.1, seed=1)
        except UsageError as error:
            assert is_clear(str(error)), str(error)
