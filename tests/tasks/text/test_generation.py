"""What summarization and translation share, over the six architectures that take them: exact loss, exact prompts, same texts
however batched, and folders that plain transformers understands.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from accelerate import Accelerator

from ft_toolkit.api import load
from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.models.adapters import attach, head_modules, lora_targets, save_model
from ft_toolkit.models.pretrained import Checkpoint, load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import make_tiny_model
from ft_toolkit.recipe.methods import FullMethod, LoraMethod
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.text import source_target
from ft_toolkit.training.collate import make_collate

pytestmark = pytest.mark.trains

TASK = find_tasks()["summarization"]
ROWS, _ = TASK.read_rows(TASK.sample_rows(TASK.settings()), None, "sample rows")
TEXTS = [text for row in ROWS for text in (row["document"], row["summary"])]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make_tiny_model(tmp_path_factory.mktemp(name), TEXTS, name)
        return made[name]

    return get


class Case:
    """The sample rows, encoded for a tiny model."""

    def __init__(self, folder: Path, max_length: int = 128, **settings: Any) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        self.settings = TASK.settings(**{"max_target_length": 16, **settings})
        self.schema = TASK.find_schema(self.settings, ROWS, None, read_pretrained(folder, self.tokenizer))
        self.features = TASK.encode(ROWS, self.tokenizer, self.schema, max_length)
        self.loaded = load_model(folder, TASK, self.schema, self.tokenizer, dropout=None, seed=1)
        self.model = self.loaded.model.eval()
        self.collate = make_collate(self.features, TASK, self.schema, self.tokenizer.pad_token_id)

    def train(self, steps: int) -> "Case":
        """Learn the rows a little: random models say the same to everything."""
        optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=0.01)
        batch = self.collate(range(len(ROWS)))
        for _ in range(steps):
            optimizer.zero_grad()
            TASK.loss_sum(self.model(**batch.inputs), batch, self.schema).backward()
            optimizer.step()
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        assert [name for name, p in trained if p.grad is None or not p.grad.any()] == []
        return self

    def texts(self, tokens_per_batch: int, *, with_answers: bool = True) -> list[str]:
        rows = ROWS if with_answers else [{"document": row["document"]} for row in ROWS]
        features = TASK.encode(rows, self.tokenizer, self.schema, 128)
        predictor = Predictor(Accelerator(), self.model, TASK, self.schema, self.tokenizer, tokens_per_batch)
        return list(predictor.predict(features)[0])


@pytest.fixture(scope="module")
def trained(folder_of: Any) -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def get(name: str) -> Case:
        if name not in made:
            made[name] = Case(folder_of(name)).train(30)
        return made[name]

    return get


ARCHITECTURES = ["t5", "bart", "marian", "bert", "gpt2", "llama"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_loss_is_the_model_s_own_times_the_number_of_targets(name: str, folder_of: Any) -> None:
    """The model's own is a mean over the batch; what it shifts and masks itself, we built in `encode`."""
    case = Case(folder_of(name))
    batch = case.collate(range(len(ROWS)))
    inputs = {key: value for key, value in batch.inputs.items() if not key.startswith("decoder_")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # EncoderDecoderModel talks about its loss of 2021
        ours = TASK.loss_sum(case.model(**batch.inputs), batch, case.schema)
        own = case.model(**inputs, labels=batch.targets)
        without_mask = {key: value for key, value in batch.inputs.items() if key != "decoder_attention_mask"}
        torch.testing.assert_close(TASK.loss_sum(case.model(**without_mask), batch, case.schema), ours)
    count = TASK.count_targets(batch, case.schema)
    assert count == sum(sum(label != -100 for label in target) for target in case.features.targets)
    assert float(ours) == pytest.approx(float(own.loss) * count, rel=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_batches_padding_and_answers_do_not_change_a_text(name: str, beams: int, trained: Any) -> None:
    case = trained(name)
    case.schema = replace(case.schema, num_beams=beams)
    alone = case.texts(1)
    assert case.texts(4096) == alone == case.texts(600, with_answers=False)
    assert len(set(alone)) > 1 or name == "marian"  # the texts do depend on the documents
    if name in ("gpt2", "llama"):  # nothing of the prompt comes back
        by_hand = case.tokenizer(ROWS[0]["document"] + "\n\nTL;DR:\n", return_tensors="pt")
        tokens = case.model.generate(**by_hand, max_new_tokens=16, num_beams=beams, do_sample=False)
        own = case.tokenizer.decode(tokens[0, by_hand["input_ids"].shape[1] :], skip_special_tokens=True)
        assert alone[0] == own.strip()


def test_a_decoder_learns_only_the_target(folder_of: Any) -> None:
    case = Case(folder_of("gpt2"), max_length=60, prompt="Text: {document}\nShort: ", max_target_length=20)
    for row, ids, target, cut in zip(
        ROWS, case.features.inputs["input_ids"], case.features.targets, case.features.n_tokens_cut, strict=True
    ):
        n_prompt = target.count(-100)
        assert len(ids) == len(target) and target[n_prompt:] == ids[n_prompt:] and -100 not in target[n_prompt:]
        prompt, answer = case.tokenizer.decode(ids[:n_prompt]), case.tokenizer.decode(ids[n_prompt:])
        kept = 60 - len("Text: \nShort: ")  # a token is a byte here
        assert prompt == f"Text: {row['document'][:kept]}\nShort: "
        assert cut == len(row["document"]) - kept
        assert answer == (row["summary"] + "<|endoftext|>" if len(row["summary"]) < 20 else row["summary"][:20])
    whole = [len(row["summary"]) + 1 - 20 for row in ROWS]
    assert case.features.answers_cut == {"summary tokens": [max(n, 0) for n in whole]}
    with pytest.raises(UsageError, match=r"text around the part that can be cut has 14 tokens; it begins 'Text: "):
        TASK.encode(ROWS, case.tokenizer, case.schema, 10)


@pytest.mark.parametrize(
    ("name", "start", "end", "before"),
    [
        ("t5", "<pad>", "</s>", ""),
        ("bart", "</s>", "</s>", "<s>"),
        ("marian", "<pad>", "</s>", ""),
        ("bert", "[CLS]", "[SEP]", ""),
    ],
)
def test_the_targets_of_an_encoder_decoder(name: str, start: str, end: str, before: str, folder_of: Any) -> None:
    """Labels are the target with its end token, decoder inputs the same one place later behind the first token."""
    case = Case(folder_of(name), max_length=32, max_target_length=34)
    tokenizer = case.tokenizer
    start_id, end_id, *before_ids = tokenizer.convert_tokens_to_ids([start, end, *([before] if before else [])])
    features = case.features
    for row, source, target, given, source_cut, cut in zip(
        ROWS, features.inputs["input_ids"], features.targets, features.inputs["decoder_input_ids"],
        features.n_tokens_cut, features.answers_cut["summary tokens"], strict=True,
    ):  # fmt: skip
        whole = [*before_ids, *tokenizer(row["summary"], add_special_tokens=False)["input_ids"], end_id]
        assert target == whole[:34] and cut == max(len(whole) - 34, 0)
        assert given == [start_id, *target[:-1]]
        asked = tokenizer(("summarize: " if name == "t5" else "") + row["document"])["input_ids"]
        assert source == (asked if len(asked) <= 32 else [*asked[:31], end_id]) and source_cut == max(
            len(asked) - 32, 0
        )
    assert any(features.answers_cut["summary tokens"]) != (name == "bert")


@pytest.mark.parametrize("name", ["t5", "bart", "marian", "gpt2", "llama"])
@pytest.mark.parametrize("wanted", ["attention", "all-linear"])
def test_lora_leaves_pretrained_output_layers_alone(name: str, wanted: Any, folder_of: Any) -> None:
    case = Case(folder_of(name))
    assert case.loaded.new_modules == () and head_modules(case.model, ()) == []
    endings = lora_targets(case.model, wanted, [])
    if wanted == "attention":
        known = {"t5": "layer.1.EncDecAttention.q", "gpt2": "attn.c_attn", "llama": "self_attn.q_proj"}
        assert known.get(name, "encoder_attn.q_proj") in endings
        assert all("ttn" in ending or "Attention" in ending for ending in endings)
    adapted = attach(case.model, LoraMethod(name="lora", target_modules=wanted), (), seed=1)
    assert all("lora_" in n for n, p in adapted.named_parameters() if p.requires_grad)
    assert adapted.get_base_model().get_output_embeddings().weight.requires_grad is False


METHODS = {
    "full": FullMethod(),
    "lora": LoraMethod(name="lora", target_modules="all-linear"),
    "query": LoraMethod(name="lora", target_modules=["query", "value"]),
    "merged": LoraMethod(name="lora", merge=True),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *(("bert", method) for method in METHODS),
        ("t5", "lora"),
        ("bart", "full"),
        ("marian", "merged"),
        ("llama", "lora"),
    ],
)
def test_a_saved_and_loaded_model_generates_the_same_texts(
    name: str, method: str, folder_of: Any, tmp_path: Path
) -> None:
    """After a few steps, so that adapters and new cross-attention are what they were trained to, not what a seed gives."""
    case = Case(folder_of(name), num_beams=2, min_new_tokens=6)
    before = case.texts(4096)
    model = case.model = attach(case.model, METHODS[method], case.loaded.new_modules, seed=1)
    case.train(8)
    expected = case.texts(4096, with_answers=False)
    merged = method == "merged"
    checkpoint = Checkpoint(str(case.folder), case.folder, None, None)
    save_model(model, METHODS[method], checkpoint, tmp_path)
    case.tokenizer.save_pretrained(tmp_path)
    contract = {"task": "summarization", "schema": case.schema.__dict__, "max_length": 128, "mixed_precision": "no"}
    contract["settings"] = {"name": "summarization"}
    base = {"name": str(case.folder), "revision": None, "sha256": None} if method in ("lora", "query") else None
    contract |= {"tokens_per_batch": 4096, "base_model": base}
    (tmp_path / "inference.json").write_text(json.dumps(contract))
    found = load(tmp_path)([row["document"] for row in ROWS])
    same = sum(one["summary"] == text for one, text in zip(found, expected, strict=True))
    assert same == len(ROWS) or (merged and same >= len(ROWS) - 1)
    assert all(text != other for text, other in zip(expected, before, strict=True))
    if base is None:  # plain transformers, knowing nothing of us
        auto = transformers.AutoModelForCausalLM if name == "llama" else transformers.AutoModelForSeq2SeqLM
        plain, info = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        tokens = plain.generate(**case.tokenizer(ROWS[0]["document"], return_tensors="pt", return_token_type_ids=False))
        assert case.tokenizer.decode(tokens[0], skip_special_tokens=True).strip() == found[0]["summary"]
        assert plain.generation_config.num_beams == 2


def test_generation_settings_reach_the_texts(trained: Any) -> None:
    """No dead settings: each changes what is written, with everything else the same."""
    case = trained("bert")
    schema = replace(case.schema, num_beams=3)
    for change in (
        {"num_beams": 1},
        {"length_penalty": -4.0},
        {"no_repeat_ngram_size": 1},
        {"max_target_length": 6},
        {"min_new_tokens": 15},
    ):
        written = []
        for case.schema in (schema, replace(schema, **change)):
            written.append(case.texts(4096))
        assert written[0] != written[1], change
    with pytest.raises(UsageError, match=r"min_new_tokens=16 must be smaller"):
        Case(case.folder, min_new_tokens=16)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bart", {"prompt": "{document}"}, "task.prompt has no effect on a checkpoint of kind encoder-decoder"),
        ("gpt2", {"prefix": "x"}, "task.prefix has no effect on a checkpoint of kind decoder"),
        ("gpt2", {"prompt": "TL;DR"}, "task.prompt must contain {document}"),
        ("gpt2", {"max_target_length": 400}, "need 528 positions; the model has 512"),
        ("marian", {"max_target_length": 513}, "need 513 positions"),
    ],
)
def test_settings_without_effect_are_refused(name: str, settings: Any, message: str, folder_of: Any) -> None:
    with pytest.raises(UsageError, match=message):
        Case(folder_of(name), **settings)


def test_an_encoder_that_cannot_be_a_decoder_is_refused(folder_of: Any, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder_of("bert"))
    sizes = {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64}
    transformers.DistilBertModel(transformers.DistilBertConfig(**sizes, vocab_size=len(tokenizer))).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"distilbert cannot generate text.*use an encoder such as BERT"):
        Case(tmp_path)


@pytest.mark.parametrize("value", [None, "", "  ", [], ["a", 3], 7])
def test_empty_targets_are_refused(value: Any) -> None:
    with pytest.raises(DataError, match=r"here: row 4: column 'summary'"):
        source_target.read_targets({"summary": value}, "summary", "here: row 4", [])
