"""The speed-ups change nothing: outputs, loss and gradients equal those of the unchanged model."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from small_models import NAMED, VOCABULARY, config_of, gradients, model_of, texts
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig

from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.speedups import apply_speedups, remove_speedups
from ft_toolkit.training.speedups.decoder_cache import without_cache
from ft_toolkit.training.speedups.dropout import (
    FastDropout,
    attention_forward,
    dropout,
    dropout_mask,
    use_fast_dropout,
    use_torch_dropout,
)
from ft_toolkit.training.speedups.embedding_rows import EmbeddingRows, train_only_rows
from ft_toolkit.training.speedups.last_block import _CLASSES, shorten_last_block
from ft_toolkit.training.speedups.predicted_positions import compute_logits_at, read_positions

CPU = torch.device("cpu")


@pytest.mark.parametrize("lengths", [(9, 6, 9, 2), (7, 7, 7)], ids=["padded", "even"])
@pytest.mark.parametrize("class_name", _CLASSES)
def test_a_classifier_and_its_gradients_stay_the_same(class_name: str, lengths: tuple[int, ...]) -> None:
    plain = model_of(class_name)
    inputs = texts(plain.config.pad_token_id, lengths)
    whole = copy.deepcopy(plain)
    done = apply_speedups(whole, CPU, lambda: range(NAMED))
    assert [line.split()[0] for line in done] == ["last", "50"]
    logits = {model: model(**inputs).logits for model in (plain, whole)}
    torch.testing.assert_close(logits[whole], logits[plain], rtol=1e-5, atol=1e-5)
    for found in logits.values():
        found.square().sum().backward()
    expected, saved = gradients(plain), gradients(whole)
    table = next(name for name in expected if name.endswith("word_embeddings.weight") or name.endswith("wte.weight"))
    rows = table.replace(".weight", ".rows")
    assert not expected[table][NAMED:].any()
    torch.testing.assert_close(saved.pop(rows), expected.pop(table)[:NAMED], rtol=1e-4, atol=1e-4)
    assert saved.keys() <= expected.keys()
    for name, gradient in expected.items():  # what rounds to 0 in one may be some 1e-9 in the other
        torch.testing.assert_close(saved.get(name, torch.zeros_like(gradient)), gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("class_name", ["BertForSequenceClassification", "GPT2ForSequenceClassification"])
def test_the_last_block_takes_embeddings_and_attention_masks_as_before(class_name: str) -> None:
    plain = model_of(class_name).eval()
    short = copy.deepcopy(plain)
    assert shorten_last_block(short)
    inputs = texts(plain.config.pad_token_id, (6, 6))
    embedded = plain.get_input_embeddings()(inputs["input_ids"])
    for asked in (
        {"inputs_embeds": embedded, "attention_mask": inputs["attention_mask"]},
        {"input_ids": inputs["input_ids"]},
    ):
        torch.testing.assert_close(short(**asked).logits, plain(**asked).logits, rtol=1e-5, atol=1e-5)


def test_other_classes_are_left_as_they_are() -> None:
    for class_name in ("BertForTokenClassification", "AlbertForSequenceClassification"):
        assert not shorten_last_block(model_of(class_name))


def test_trained_rows_are_restored_into_the_embedding() -> None:
    model = model_of("BertForTokenClassification")
    before = model.get_input_embeddings().weight.detach().clone()
    ids = [1, 4, 7, 40]
    assert train_only_rows(model, lambda: ids) == (4, VOCABULARY)
    rows = model.get_input_embeddings()
    with torch.no_grad():
        rows.rows.add_(1.0)
    everything = torch.arange(VOCABULARY)[None]
    model.eval()
    seen = rows(everything)
    remove_speedups(model)
    after = model.get_input_embeddings()
    assert type(after) is torch.nn.Embedding
    assert after.padding_idx == 1
    expected = before.clone()
    expected[ids] += 1.0
    assert torch.equal(after.weight, expected)
    assert torch.equal(seen[0], expected)
    assert "bert.embeddings.word_embeddings.weight" in model.state_dict()


def test_the_embedding_of_an_encoder_decoder_of_two_models_is_found() -> None:
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        config_of("BertModel"), config_of("BertLMHeadModel")
    )
    model = transformers.EncoderDecoderModel(config)
    assert train_only_rows(model, lambda: range(NAMED)) == (NAMED, VOCABULARY)
    assert isinstance(model.encoder.embeddings.word_embeddings, EmbeddingRows)
    assert type(model.decoder.get_input_embeddings()) is torch.nn.Embedding
    remove_speedups(model)
    assert type(model.encoder.embeddings.word_embeddings) is torch.nn.Embedding


def test_the_padding_row_gets_no_gradient() -> None:
    model = model_of("BertForTokenClassification")
    train_only_rows(model, lambda: range(NAMED))
    model(**texts(1)).logits.square().sum().backward()
    rows = model.get_input_embeddings().rows
    assert not rows.grad[1].any()
    assert rows.grad[4:NAMED].any()


def never() -> set[int]:
    raise AssertionError("nobody need know which rows are named")


def test_shared_and_frozen_embeddings_are_not_replaced() -> None:
    tied = transformers.BertForMaskedLM(config_of("BertForMaskedLM"))
    assert train_only_rows(tied, never) is None
    frozen = model_of("BertForTokenClassification")
    frozen.get_input_embeddings().weight.requires_grad_(False)
    assert train_only_rows(frozen, never) is None
    open_ended = model_of("BertForTokenClassification")
    assert train_only_rows(open_ended, lambda: None) is None
    assert not any(
        isinstance(module, EmbeddingRows) for model in (tied, frozen, open_ended) for module in model.modules()
    )


@pytest.mark.parametrize("task_name", ["language_modelling", "summarization"])
@pytest.mark.parametrize("kind", ["tiny_bert", "tiny_gpt2"])
def test_logits_are_computed_only_at_predicted_positions(
    task_name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    task, folder = find_tasks()[task_name], Path(request.getfixturevalue(kind))
    tokenizer = load_tokenizer(folder)
    settings = task.settings(name=task_name)
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "sample rows")
    pretrained = read_pretrained(folder, tokenizer)
    schema = task.find_schema(settings, rows, None, pretrained)
    features = task.encode(rows, tokenizer, schema, 48)
    model = load_model(folder, task, schema, tokenizer, dropout=0.0, seed=3).model.train()
    batch = make_collate(features, task, schema, tokenizer.pad_token_id)(range(6), 1.0, 0)
    places = read_positions(task, batch, schema)
    assert places is not None
    losses, found = [], []
    for asked in (None, places):
        with compute_logits_at(model, asked):
            outputs = model(**batch.inputs)
        loss = task.loss_sum(outputs, batch, schema)
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        found.append(gradients(model))
        with torch.no_grad():
            predicted = task.predict(outputs, batch, schema) if task.predict is not None else []
        found[-1] |= {f"prediction {i}": torch.tensor(value) for i, value in enumerate(predicted)}
    is_pair = model.config.is_encoder_decoder
    assert outputs.logits.shape == (1, len(places), (model.config.decoder if is_pair else model.config).vocab_size)
    assert 0 < len(places) < batch.inputs["decoder_input_ids" if is_pair else "input_ids"].numel()
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5)
    ids = batch.inputs["decoder_input_ids" if is_pair else "input_ids"]
    assert model(**batch.inputs).logits.shape[:2] == ids.shape  # the hook is gone


def seq2seq(class_name: str) -> Any:
    """Return a small encoder-decoder without dropout."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 50, "d_model": 16, "decoder_start_token_id": 2, "pad_token_id": 1}
    if class_name.startswith("T5"):
        config: Any = transformers.T5Config(**sizes, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.0)
    else:
        heads = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
        widths = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32}
        config = getattr(transformers, class_name.split("For")[0].replace("MTModel", "") + "Config")(
            **sizes, **heads, **widths, dropout=0.0
        )
    return getattr(transformers, class_name)(config).train()


@pytest.mark.parametrize("class_name", ["BartForConditionalGeneration", "T5ForConditionalGeneration", "MarianMTModel"])
def test_an_encoder_decoder_computes_logits_only_at_targets_and_fills_no_cache(class_name: str) -> None:
    model = seq2seq(class_name)
    inputs = {"input_ids": torch.randint(5, 50, (3, 7)), "decoder_input_ids": torch.randint(5, 50, (3, 5))}
    positions = torch.tensor([0, 1, 2, 5, 6, 10, 11, 12, 13])
    plain = model(**inputs)
    assert plain.past_key_values is not None
    expected = plain.logits.flatten(0, 1)[positions]
    expected.square().sum().backward()
    slow = gradients(model)
    model.zero_grad()
    with compute_logits_at(model, positions), without_cache(model):
        outputs = model(**inputs)
    assert outputs.past_key_values is None and model.config.use_cache
    torch.testing.assert_close(outputs.logits[0], expected, rtol=1e-5, atol=1e-6)
    outputs.logits.square().sum().backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, slow[name], rtol=1e-4, atol=1e-5)


def test_dropout_without_a_module_is_replaced_in_training_only() -> None:
    """BART calls torch's function for the dropout outside its attention."""
    model = seq2seq("BartForConditionalGeneration")
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.25
    inputs = {"input_ids": torch.randint(5, 50, (3, 7)), "decoder_input_ids": torch.randint(5, 50, (3, 5))}
    expected = model.eval()(**inputs).logits
    assert use_fast_dropout(model)
    torch.testing.assert_close(model(**inputs).logits, expected)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        model.train()(**inputs).logits.sum().backward()
    names = {operator.key for operator in profiler.key_averages()}
    assert "_Dropout" in names and "aten::bernoulli_" not in names
    use_torch_dropout(model)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        model(**inputs)
    assert "_Dropout" not in {operator.key for operator in profiler.key_averages()}


def test_dropout_has_the_right_distribution() -> None:
    torch.manual_seed(3)
    kept, scale = dropout_mask((400, 500), 0.1)
    assert scale == pytest.approx(1 / 0.9, rel=1e-4)
    assert 0.1 - 0.003 < 1 - kept.float().mean() < 0.1 + 0.003  # 4.5 standard deviations
    assert kept.float().mean(0).std() == pytest.approx((0.1 * 0.9 / 400) ** 0.5, rel=0.15)  # columns are independent
    values = torch.randn(400, 500, requires_grad=True)
    torch.manual_seed(3)
    dropped = dropout(values, 0.1)
    torch.testing.assert_close(dropped, values.detach() * kept * scale)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, kept * torch.tensor(scale))


def test_dropout_is_a_function_of_the_seed() -> None:
    layer, values = FastDropout(0.5), torch.ones(3, 7)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(layer(values))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(layer.eval()(values), values)


@pytest.mark.parametrize("mask", ["none", "bool", "additive", "causal"])
def test_attention_with_dropout_attends_as_sdpa_does(mask: str) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    seen = (torch.rand(2, 1, 5, 5) > 0.3) | torch.eye(5, dtype=torch.bool)
    given = {"bool": seen, "additive": torch.zeros(2, 1, 5, 5).masked_fill(~seen, torch.finfo(torch.float32).min)}.get(
        mask
    )
    module = torch.nn.Module()
    expected, _ = attention_forward(
        module, query, key, value, given, dropout=0.0, scaling=0.3, is_causal=mask == "causal"
    )
    mean = torch.stack(
        [
            attention_forward(module, query, key, value, given, dropout=0.2, scaling=0.3, is_causal=mask == "causal")[0]
            for _ in range(4000)
        ]
    ).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.05)
    almost_none, _ = attention_forward(
        module, query, key, value, given, dropout=1e-9, scaling=0.3, is_causal=mask == "causal"
    )
    torch.testing.assert_close(almost_none, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [7, 300], ids=["by plain products", "fused"])
def test_without_dropout_bfloat16_attention_and_its_gradient_are_those_of_torch(tokens: int) -> None:
    draw = torch.Generator().manual_seed(4)
    parts = [torch.randn(2, 4, tokens, 16, generator=draw).bfloat16() for _ in range(3)]
    seen = torch.arange(tokens) < torch.tensor([tokens, tokens - 3])[:, None, None, None]
    module = torch.nn.Module()
    found = {}
    for training in (True, False):
        own = [part.clone().requires_grad_() for part in parts]
        output, _ = attention_forward(module.train(training), *own, seen, dropout=0.0, scaling=0.25, is_causal=False)
        output.float().square().sum().backward()
        found[training] = [output, *(part.grad for part in own)]
    for ours, theirs in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02 * float(theirs.detach().abs().max()))
    assert torch.equal(found[True][0], found[False][0]) == (tokens > 256), "another way only where it is quicker"


def test_remove_speedups_restores_standard_modules_and_config(tmp_path: Path) -> None:
    config = config_of("BertForSequenceClassification")
    config.hidden_dropout_prob = 0.1
    model = transformers.BertForSequenceClassification(config)
    keys = list(model.state_dict())
    assert apply_speedups(model, CPU, lambda: range(NAMED))[-1] == "faster random numbers for dropout"
    assert any(isinstance(module, FastDropout) for module in model.modules())
    remove_speedups(model)
    assert list(model.state_dict()) == keys
    assert {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {torch.nn.Dropout}
    model.save_pretrained(tmp_path)
    assert "fast" not in (tmp_path / "config.json").read_text()
    assert AutoConfig.from_pretrained(tmp_path).hidden_dropout_prob == 0.1
