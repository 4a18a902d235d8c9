"""Checkpoints and adapters: loading, trainable weights, saving."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.adapters import attach, count_parameters, head_modules, linear_modules, lora_targets
from ft_toolkit.models.pretrained import find_checkpoint, kind_of, load_model, load_tokenizer
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 99}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 99,
}  # fmt: skip
ARCHITECTURES: dict[str, tuple[type, dict[str, Any], str]] = {
    "bert": (transformers.BertConfig, SIZES, "encoder"),
    "distilbert": (
        transformers.DistilBertConfig,
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99},
        "encoder",
    ),
    "roberta": (transformers.RobertaConfig, SIZES, "encoder"),
    "albert": (transformers.AlbertConfig, {**SIZES, "embedding_size": 16}, "encoder"),
    "electra": (transformers.ElectraConfig, {**SIZES, "embedding_size": 16}, "encoder"),
    "deberta-v2": (transformers.DebertaV2Config, SIZES, "encoder"),
    "modernbert": (transformers.ModernBertConfig, {**SIZES, **TOKENS}, "encoder"),
    "gpt2": (
        transformers.GPT2Config,
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "vocab_size": 99,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "decoder",
    ),
    "llama": (transformers.LlamaConfig, {**SIZES, "pad_token_id": 0}, "decoder"),
    "bart": (transformers.BartConfig, BART, "encoder-decoder"),
}


@pytest.mark.parametrize("target_modules", ["attention", "all-linear"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lora_targets_per_architecture(name: str, target_modules: Any) -> None:
    """Only the blocks have adapters, the head is trained in full, and every trainable weight receives a gradient."""
    kind, sizes, expected_kind = ARCHITECTURES[name]
    config = kind(**sizes, num_labels=3)
    assert kind_of(config) == expected_kind
    model = AutoModelForSequenceClassification.from_config(config)
    heads = head_modules(model, [])
    in_blocks = [
        n
        for n in linear_modules(model)
        if any(part.isdigit() for part in n.split(".")) and n.split(".")[0] not in heads
    ]
    adapted = attach(model, LoraMethod(name="lora", target_modules=target_modules), [], seed=0)
    with_adapter = {
        n.removeprefix("base_model.model.").removesuffix(".lora_A")
        for n, _ in adapted.named_modules()
        if n.endswith(".lora_A")
    }
    if target_modules == "all-linear":
        assert with_adapter == set(in_blocks)
    else:
        assert with_adapter < set(in_blocks) and all("att" in n for n in with_adapter)
    ids = torch.randint(4, 90, (2, 7), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = 2
    adapted(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert [n for n, p in trained.items() if p.grad is None] == []
    assert all("lora_" in n or any(head in n for head in heads) for n in trained)
    assert 0 < count_parameters(adapted).share < 0.3


def test_a_wrong_target_is_refused_with_the_allowed_ones(tiny_bert: str) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    message = r"no linear layer of the blocks has a name that ends in 'attention.self.qery'.*Did you mean"
    with pytest.raises(ModelError, match=message):
        lora_targets(model, ["attention.self.qery"], ["classifier"])


def schema_of(labels: list[str]) -> Any:
    return TASK.find_schema(
        TASK.settings(labels=labels), [{"text": "x", "label": label} for label in labels], None, None
    )


def test_a_half_precision_checkpoint_is_trained_in_float32(tiny_bert: str, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(tiny_bert).to(torch.float16).save_pretrained(tmp_path)
    load_tokenizer(Path(tiny_bert)).save_pretrained(tmp_path)
    loaded = load_model(tmp_path, TASK, schema_of(["a", "b"]), load_tokenizer(tmp_path), dropout=None, seed=0)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_labels_and_pad_token_reach_the_config(tiny_gpt2: str) -> None:
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    assert tokenizer.pad_token == tokenizer.eos_token
    loaded = load_model(Path(tiny_gpt2), TASK, schema_of(["b", "a", "c"]), tokenizer, dropout=None, seed=0)
    config = loaded.model.config
    assert config.id2label == {0: "b", 1: "a", 2: "c"} and config.label2id == {"b": 0, "a": 1, "c": 2}
    assert config.pad_token_id == tokenizer.pad_token_id
    assert loaded.kind == "decoder" and loaded.new_modules == ("score",)


def test_gpt2_pools_the_last_real_token(tiny_gpt2: str) -> None:
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    model = load_model(Path(tiny_gpt2), TASK, schema_of(["a", "b"]), tokenizer, dropout=None, seed=0).model.eval()
    ids = tokenizer("some words")["input_ids"]
    padded = torch.tensor([ids + [tokenizer.pad_token_id] * 5])
    mask = torch.tensor([[1] * len(ids) + [0] * 5])
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([ids])).logits
        torch.testing.assert_close(model(input_ids=padded, attention_mask=mask).logits, alone, atol=1e-6, rtol=1e-5)


def test_a_head_with_the_same_labels_in_another_order_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(Path(tiny_bert))
    load_model(Path(tiny_bert), TASK, schema_of(["b", "a"]), tokenizer, dropout=None, seed=0).model.save_pretrained(
        tmp_path
    )
    with pytest.raises(ModelError, match=r"another order \(b, a\).*set task.labels=\[b, a\]"):
        load_model(tmp_path, TASK, schema_of(["a", "b"]), tokenizer, dropout=None, seed=0)
    same = load_model(tmp_path, TASK, schema_of(["b", "a"]), tokenizer, dropout=None, seed=9)
    assert same.new_modules == ()


def test_a_hub_revision_goes_to_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test replaces the Hub client, and checks its arguments."""
    asked = {}

    def download(name: str, **kwargs: Any) -> str:
        asked.update(name=name, **kwargs)
        raise OSError("no network here")

    monkeypatch.setattr("ft_toolkit.models.pretrained.snapshot_download", download)
    with pytest.raises(ModelError, match="no network here"):
        find_checkpoint(ModelSection(name="org/model", revision="abc"))
    assert asked["name"] == "org/model" and asked["revision"] == "abc"


@pytest.mark.parametrize("merge", [False, True])
def test_a_gpt2_adapter_saved_merged_or_not_predicts_the_same(
    merge: bool, write_recipe: Any, here: Any, tiny_gpt2: str, tmp_path: Path
) -> None:
    """The run itself includes the reload check; a merged folder also loads with transformers alone."""
    recipe = write_recipe(model__name=tiny_gpt2, method={"name": "lora", "merge": merge}, training__num_train_epochs=1)
    here("run", recipe, "--output", tmp_path / "run")
    model = tmp_path / "run" / "model"
    assert (model / "adapter_config.json").exists() == (not merge)
    assert (json.loads((model / "inference.json").read_text())["base_model"] is None) == merge
    if merge:
        plain = AutoModelForSequenceClassification.from_pretrained(model)
        assert plain.config.id2label == {0: "complaint", 1: "praise", 2: "question"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"config.json": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}},
            "bitsandbytes",
        ),
        ({"config.json": {"quantization_config": {"quant_method": "awq"}}}, "awq"),
        ({"config.json": {"quantization_config": {"bits": 4}}}, "unknown method"),
        ({"config.json": {}, "quantize_config.json": {"bits": 4}}, "gptq"),
        ({"config.json": {}, "quant_config.json": {"w_bit": 4}}, "awq"),
    ],
)
def test_a_quantized_checkpoint_is_refused(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=rf"the checkpoint is quantized \({message}\).*use the unquantized checkpoint"):
        find_checkpoint(ModelSection(name=str(tmp_path)))


@pytest.mark.parametrize("config", [{}, {"quantization_config": None}, {"quantization_config": {}}])
def test_an_unquantized_checkpoint_is_found(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert find_checkpoint(ModelSection(name=str(tmp_path))).folder == tmp_path


def test_a_model_with_one_token_type_gets_no_types_from_the_tokenizer_of_another_family(
    tiny_bert: str, tmp_path: Path
) -> None:
    """Pairs of texts ended with an index error: the tokenizer of BERT gives the second text type 1."""
    config = transformers.RobertaConfig(
        **{**SIZES, "vocab_size": 400}, type_vocab_size=1, pad_token_id=0, max_position_embeddings=40
    )
    torch.manual_seed(0)
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path)
    load_tokenizer(Path(tiny_bert)).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    pair = {"text": "good", "text_pair": "late"}
    schema = schema_of(["a", "b"])
    features = TASK.encode([pair], tokenizer, schema, 16)
    assert features.inputs.keys() == {"input_ids"}
    assert set(TASK.encode([pair], load_tokenizer(Path(tiny_bert)), schema, 16).inputs) == {
        "input_ids",
        "token_type_ids",
    }
    model = load_model(tmp_path, TASK, schema, tokenizer, dropout=None, seed=0).model
    assert model(input_ids=torch.tensor(features.inputs["input_ids"])).logits.shape == (1, 2)


@pytest.mark.parametrize(
    "name",
    [
        "package:",
        "package:..",
        "package:../x",
        "package:a/../../b",
        "package:os.path/x",
        "package:a b/c",
        "package:a//etc",
    ],
)
def test_the_name_of_a_package_is_a_name(name: str) -> None:
    with pytest.raises(ModelError, match="the form is package:NAME/FOLDER"):
        find_checkpoint(ModelSection(name=name))


@pytest.mark.parametrize("package", ["no_such_package", "builtins", "__main__"])
def test_no_command_to_install_a_package_that_is_not_known(package: str) -> None:
    """The name may be a mistake, or the name of a harmful package."""
    with pytest.raises(ModelError, match="is not installed") as error:
        find_checkpoint(ModelSection(name=f"package:{package}/model"))
    assert "pip" not in str(error.value)
