"""Models from scratch: each kind with its task, the special tokens in the config, error messages, reproducibility."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from ft_toolkit.api import load
from ft_toolkit.core.errors import ModelError, RecipeError
from ft_toolkit.models.from_scratch import make_model_from_scratch
from ft_toolkit.models.pretrained import load_tokenizer, new_model, read_pretrained
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.runs.dry_run import dry_run
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare

TASKS = find_tasks()
TRAINED = {"train_on_text": True, "vocab_size": 320}
GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 64}
BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
BART |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64}
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def make(tmp_path: Path, rows: list[dict[str, Any]]) -> Any:
    """Return a function that creates the folder of a model from scratch."""

    def made(config: Any, tokenizer: Any = TRAINED, task: str = "language_modelling", name: str = "new") -> Path:
        section = ModelSection.model_validate({"config": config, "tokenizer": tokenizer})
        return make_model_from_scratch(section, TASKS[task], rows, tmp_path / name).folder

    return made


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert", "roberta", "distilbert"])
@pytest.mark.parametrize("task_name", ["language_modelling", "text_classification"])
def test_a_model_from_scratch_trains(make: Any, rows: Any, model_type: str, task_name: str) -> None:
    values = {
        "gpt2": GPT2,
        "llama": {**BERT, "num_key_value_heads": 1, "max_position_embeddings": 64},
        "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64},
    }.get(model_type, {**BERT, "max_position_embeddings": 64})
    folder, task = make({**values, "model_type": model_type}, task=task_name), TASKS[task_name]
    tokenizer = load_tokenizer(folder)
    assert len(tokenizer) == 320 and tokenizer.unk_token_id not in tokenizer("Ünknown ✓ 漢字")["input_ids"]
    assert tokenizer.model_max_length == (63 if model_type == "roberta" else 64)
    settings = task.settings(name=task_name)
    schema = task.find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
    loaded = new_model(folder, task, schema, tokenizer, dropout=None, seed=3)
    again = new_model(folder, task, schema, tokenizer, dropout=None, seed=3)
    config = loaded.model.config
    assert config.vocab_size == 320 and config.pad_token_id == tokenizer.pad_token_id
    assert loaded.new_modules == ()
    weights = loaded.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in again.model.state_dict().items())
    from ft_toolkit.training.collate import make_collate

    text = " ".join(row["text"] for row in rows)  # longer than the model: a full width of positions
    features = task.encode([{**rows[0], "text": text}, rows[1]], tokenizer, schema, tokenizer.model_max_length)
    batch = make_collate(features, task, schema, tokenizer.pad_token_id)(range(len(features.example_ids)))
    loss = task.loss_sum(loaded.model(**batch.inputs), batch, schema)
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("model_type", "values", "start"),
    [
        ("marian", BART, "pad_token_id"),
        ("bart", BART, "eos_token_id"),
        ("t5", {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 32}, "pad_token_id"),
    ],
)
def test_an_encoder_decoder_has_start_and_end_tokens(make: Any, model_type: str, values: Any, start: str) -> None:
    folder = make({**values, "model_type": model_type})
    tokenizer, config = load_tokenizer(folder), AutoConfig.from_pretrained(folder)
    assert config.decoder_start_token_id == getattr(tokenizer, start)
    assert config.eos_token_id == tokenizer.eos_token_id and config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer("lamp")["input_ids"][-1] == tokenizer.eos_token_id
    model = AutoModelForSeq2SeqLM.from_config(config)
    asked = tokenizer(["the lamp", "a"], return_tensors="pt", padding=True)
    written = model.generate(**asked, max_new_tokens=5)
    assert written[0, 0] == config.decoder_start_token_id and written.max() < len(tokenizer)
    assert torch.isfinite(model(**asked, labels=asked["input_ids"]).loss)


def test_an_encoder_has_a_mask_token(make: Any) -> None:
    tokenizer = load_tokenizer(make({**BERT, "model_type": "bert"}))
    ids = tokenizer("lamp", "late")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id and ids.count(tokenizer.sep_token_id) == 2
    assert tokenizer.mask_token_id is not None
    config = AutoConfig.from_pretrained(tokenizer.name_or_path)
    assert AutoModelForMaskedLM.from_config(config).get_input_embeddings().padding_idx == tokenizer.pad_token_id


def test_the_tokenizer_is_reproducible_and_the_folder_is_reused(make: Any) -> None:
    one, two = make(GPT2, name="one"), make(GPT2, name="two")
    assert (one / "tokenizer.json").read_bytes() == (two / "tokenizer.json").read_bytes()
    (one / "marker").touch()
    assert (make(GPT2, name="one") / "marker").exists()
    assert not (make(GPT2, {**TRAINED, "vocab_size": 310}, name="one") / "marker").exists()
    assert len(load_tokenizer(one)) == 310


def test_a_tokenizer_of_another_model(make: Any, tiny_bert: str) -> None:
    folder = make({**BERT, "model_type": "bert"}, tiny_bert)
    tokenizer = load_tokenizer(Path(tiny_bert))
    config = AutoConfig.from_pretrained(folder)
    assert config.vocab_size == len(tokenizer) and config.pad_token_id == tokenizer.pad_token_id
    assert load_tokenizer(folder)("the lamp")["input_ids"] == tokenizer("the lamp")["input_ids"]


def test_a_config_file(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**GPT2, "vocab_size": 50257, "bos_token_id": 50256, "architectures": ["X"]}))
    for given in (str(path), str(tmp_path)):
        config = AutoConfig.from_pretrained(make(given))
        assert (config.n_embd, config.vocab_size, config.bos_token_id) == (16, 320, 0)
    path.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: not valid JSON"):
        make(str(path))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_layer": 2}, "model_type is required"),
        ({"model_type": "gtp2"}, "no model type 'gtp2'.*Did you mean 'gpt2'"),
        (
            {"model_type": "gpt2", "n_layers": 2},
            "n_layers: not found in the config of gpt2; allowed: .*Did you mean 'n_layer'",
        ),
        ({"model_type": "gpt2", "vocab_size": 5}, "vocab_size: the tokenizer sets this value"),
        ({"model_type": "gpt2", "eos_token_id": 5}, "eos_token_id: the tokenizer sets this value"),
        ({"model_type": "gpt2", "n_layer": "two"}, "n_layer"),
    ],
)
def test_a_wrong_config_is_refused(make: Any, config: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make(config)


def recipe_of(write_recipe: Any, *overrides: str, config: Any = GPT2) -> Any:
    model = {"config": config, "tokenizer": TRAINED}
    path = write_recipe(task="language_modelling", model=model, data__max_length=64, evaluation__baselines=None)
    return load_recipe(path, overrides, TASKS)


def test_invalid_values_are_refused(write_recipe: Any, tmp_path: Path) -> None:
    prepared = prepare(recipe_of(write_recipe, "model.config.n_embd=15"), work_folder=tmp_path)
    with pytest.raises(ModelError, match=r"model\.config: .*divisible"):
        build_model(prepared)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.name=gpt2", "name and config exclude each other"),
        ("model.config=null", "set a checkpoint"),
        ("model.tokenizer=null", "config requires a tokenizer"),
        ("model.revision=main", "only allowed with a checkpoint"),
        ("method=lora", "lora requires a pretrained model"),
        ("model.tokenizer={train_on_text: false}", "must be true; found false"),
        ("model.tokenizer.vocab_size=10", "vocab_size"),
    ],
)
def test_keys_that_exclude_each_other(write_recipe: Any, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(write_recipe, override)


def test_a_tokenizer_without_a_config_is_a_mistake(write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match="tokenizer is only allowed with config"):
        load_recipe(write_recipe(model__tokenizer="x"), [], TASKS)


def test_a_model_from_scratch_is_reproducible(write_recipe: Any, tmp_path: Path) -> None:
    loaded = recipe_of(write_recipe)
    one, two = (prepare(loaded, work_folder=tmp_path / name) for name in ("one", "two"))
    assert one.features == two.features and one.schema == two.schema
    weights, again = (build_model(prepared).model.state_dict() for prepared in (one, two))
    assert all(torch.equal(value, again[name]) for name, value in weights.items())
    other = prepare(recipe_of(write_recipe, "training.seed=5"), work_folder=tmp_path / "one")
    assert any(not torch.equal(value, weights[name]) for name, value in build_model(other).model.state_dict().items())


def test_a_run_from_scratch_can_be_used(write_recipe: Any, tmp_path: Path) -> None:
    folder, loaded = tmp_path / "run", recipe_of(write_recipe, "training.max_steps=3")
    results = run(
        loaded, RunOptions(output=folder, resume=False, smoke=False, command="ftk", console=Console(quiet=True))
    )
    assert results["model"] == "gpt2 from scratch"
    assert results["scores"]["test"]["baselines"]["bytes"]["perplexity"]["value"] is None
    (prediction,) = load(folder)(["the lamp is late"])
    assert prediction["tokens"] > 1 and prediction["bytes"] == 16 and prediction["perplexity"] > 1


def test_a_dry_run_creates_the_model(write_recipe: Any) -> None:
    path = write_recipe(
        task="language_modelling",
        model={"config": GPT2, "tokenizer": TRAINED},
        data__max_length=32,
        evaluation__baselines=None,
    )
    console = Console(file=StringIO(), width=120)
    dry_run(load_recipe(path, [], TASKS), "ftk run recipe.yaml --dry-run", console)
    assert "nothing was trained or written" in console.file.getvalue()
