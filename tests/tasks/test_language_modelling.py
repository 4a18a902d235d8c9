"""Language modelling: packing, masking, the counted tokens, and sums computed by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoConfig, AutoModelForCausalLM

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.data.batches import EVALUATION
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks import language_modelling as lm
from ft_toolkit.tasks.text import blocks, token_scores
from ft_toolkit.training.collate import make_collate

TEXTS = ["The cat sat.", "Rain fell on the tin roof all night long, and nobody slept.", "é", "Snow on the pass."]
ROWS = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]


class Made:
    """A tiny model with the task's schema for it."""

    def __init__(self, folder: str, **settings: Any) -> None:
        self.tokenizer = load_tokenizer(Path(folder))
        self.schema = lm.find_schema(lm.Settings(**settings), ROWS, None, read_pretrained(Path(folder), self.tokenizer))
        self.model = load_model(Path(folder), lm.TASK, self.schema, self.tokenizer, dropout=None, seed=1).model.eval()

    def encode(self, rows: Any, max_length: int = 32) -> Any:
        return lm.encode(rows, self.tokenizer, self.schema, max_length)

    def decode(self, rows: Any, max_length: int = 32) -> list[dict[str, Any]]:
        features = self.encode(rows, max_length)
        predictor = Predictor(Accelerator(), self.model, lm.TASK, self.schema, self.tokenizer, 256)
        return lm.decode(predictor.predict(features)[0], features, rows, self.schema)

    def nll(self, ids: list[int], start: int = 1) -> float:
        """The plain model's negative log likelihood of ids[start:], by hand."""
        with torch.no_grad():
            log = self.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return -sum(float(log[place - 1, ids[place]]) for place in range(start, len(ids)))


@pytest.fixture
def apart(tiny_gpt2: str) -> Made:
    return Made(tiny_gpt2)


@pytest.fixture
def joined(tiny_gpt2: str) -> Made:
    return Made(tiny_gpt2, documents="joined")


@pytest.fixture
def masked(tiny_bert: str) -> Made:
    return Made(tiny_bert)


def targets(made: Made, features: Any) -> list[list[int]]:
    """Return per feature the token ids that are predicted."""
    batch = make_collate(features, lm.TASK, made.schema, made.tokenizer.pad_token_id)(range(len(features.notes)))
    return [row[row != lm.IGNORED].tolist() for row in batch.targets]


def test_a_packed_row_has_the_score_of_the_unpacked_row_and_of_transformers(apart: Made) -> None:
    together = apart.decode(ROWS, 128)
    assert len(apart.encode(ROWS, 128).notes) == 1
    for row, found in zip(ROWS, together, strict=True):
        (alone,) = apart.decode([row], 128)
        ids = apart.tokenizer(row["text"])["input_ids"]
        end = apart.tokenizer.eos_token_id
        by_hand = apart.nll([end, *ids, end])
        assert found["nll"] == pytest.approx(by_hand, rel=1e-5) == pytest.approx(alone["nll"], rel=1e-5)
        assert found["tokens"] == len(ids) + 1
        assert found["bytes"] == len(row["text"].encode())
        assert found["perplexity"] == pytest.approx(math.exp(by_hand / (len(ids) + 1)), rel=1e-5)
        assert found["bits_per_byte"] == pytest.approx(by_hand / math.log(2) / found["bytes"], rel=1e-5)


def test_every_token_is_a_target_once(apart: Made, joined: Made) -> None:
    end = apart.tokenizer.eos_token_id
    for size in (8, 13, 32, 500):
        whole = [i for row in ROWS for i in (*apart.tokenizer(row["text"])["input_ids"], end)]
        features = apart.encode(ROWS, size)
        assert [i for some in targets(apart, features) for i in some] == whole
        assert max(features.lengths) <= size
        assert features.example_ids == sorted(features.example_ids)
        stream = [i for row in ROWS for i in joined.tokenizer(row["text"] + "\n")["input_ids"]]
        features = joined.encode(ROWS, size)
        assert [i for some in targets(joined, features) for i in some] == stream
        assert max(features.lengths) <= size
        assert sum(one["tokens"] for one in joined.decode(ROWS, size)) == len(stream)


def test_joined_rows_are_one_text_cut_into_blocks(joined: Made) -> None:
    stream = [
        joined.tokenizer.eos_token_id,
        *(i for r in ROWS for i in joined.tokenizer(r["text"] + "\n")["input_ids"]),
    ]
    expected = sum(joined.nll(stream[start : start + 32]) for start in range(0, len(stream) - 1, 31))
    found = joined.decode(ROWS, 32)
    assert sum(one["nll"] for one in found) == pytest.approx(expected, rel=1e-5)
    assert [one["bytes"] for one in found] == [len(text.encode()) + 1 for text in TEXTS]


def test_a_row_that_ends_in_a_line_break_gets_no_second_one(joined: Made) -> None:
    assert joined.decode([{"text": "a\n"}]) == joined.decode([{"text": "a"}])


TINY = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
    "gpt_neo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 64, "window_size": 8,
    },
}  # fmt: skip
_LIKE_LLAMA: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
    "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("model_type", token_scores.PACKS)
def test_attention_does_not_cross_packed_rows(model_type: str) -> None:
    torch.manual_seed(0)
    values = TINY.get(model_type, _LIKE_LLAMA | ({"head_dim": 8} if model_type in ("gemma", "gemma2", "qwen3") else {}))
    config = AutoConfig.for_model(model_type, vocab_size=60, bos_token_id=1, eos_token_id=1, **values)
    model = AutoModelForCausalLM.from_config(config).eval()
    rows = [torch.randint(3, 60, (n,)).tolist() for n in (11, 17, 2)]
    schema = lm.CausalSchema("apart", packed=True, start_id=1, end_id=1)
    inputs, notes = blocks.apart(rows, 1, 1, 40, packed=True)
    features = lm.Features(inputs, [None] * len(notes), [note[0][0] for note in notes], [0] * len(rows), notes=notes)
    batch = make_collate(features, lm.TASK, schema, 0)(range(len(notes)))  # the second block is padded
    assert len(notes) == 1 or batch.inputs["input_ids"].shape[0] == 2
    with torch.no_grad():
        values_found = lm.predict(model(**batch.inputs), batch, schema)
        sums = [one["nll"] for one in lm.decode(values_found, features, [{"text": "x"}] * 3, schema)]
        for ids, found in zip(rows, sums, strict=True):
            log = model(input_ids=torch.tensor([[1, *ids, 1]])).logits[0].log_softmax(-1)
            alone = -sum(float(log[place, token]) for place, token in enumerate([*ids, 1]))
            assert found == pytest.approx(alone, rel=1e-5)


def test_other_decoders_are_not_packed(apart: Made) -> None:
    schema = replace(apart.schema, packed=False)
    features = lm.encode(ROWS, apart.tokenizer, schema, 128)
    assert "position_ids" not in features.inputs and features.example_ids == [0, 1, 2, 3]


def test_masking_depends_only_on_seed_epoch_and_feature(masked: Made) -> None:
    features = masked.encode(ROWS * 3)

    def seen(seed: int, epoch: int, ids: list[int]) -> list[tuple[list[int], list[int]]]:
        batch = make_collate(features, lm.TASK, masked.schema, 0, seed)(ids, epoch=epoch)
        widths = [features.lengths[i] for i in ids]
        return [
            (one[:n].tolist(), target[:n].tolist())
            for one, target, n in zip(batch.inputs["input_ids"], batch.targets, widths, strict=True)
        ]

    everything = list(range(len(features.notes)))
    whole = seen(5, 2, everything)
    assert whole == [seen(5, 2, [i])[0] for i in everything]
    assert whole != seen(5, 3, everything) and whole != seen(6, 2, everything)
    assert seen(5, EVALUATION, everything) == seen(6, EVALUATION, everything)
    # the same text is asked the same wherever it stands
    third = len(everything) // 3
    assert seen(5, EVALUATION, everything[:third]) == seen(5, EVALUATION, everything[third : 2 * third])
    for (ids, target), note in zip(whole, features.notes, strict=True):
        assert sum(t != lm.IGNORED for t in target) >= 1
        assert all(word >= 0 for t, word in zip(target, note, strict=True) if t != lm.IGNORED)
        assert ids[0] == masked.tokenizer.cls_token_id and ids[-1] == masked.tokenizer.sep_token_id


def test_all_tokens_of_a_word_are_masked_together(tiny_bert: str) -> None:
    for whole_words in (True, False):
        made = Made(tiny_bert, whole_words=whole_words, mask_share=0.2)
        (note,) = made.encode([{"text": "zwyx the qrst"}]).notes  # letters, as the vocabulary has neither word
        assert note[0] == note[-1] == -1
        assert len(set(note[1:-1])) == (3 if whole_words else 9)


def test_a_masked_row_longer_than_a_window_keeps_every_token(masked: Made) -> None:
    row = {"text": " ".join(["the lamp is good"] * 20)}
    features = masked.encode([row, {"text": "fine"}], 16)
    assert features.example_ids == [0] * (len(features.notes) - 1) + [1]
    inner = [i for ids in features.inputs["input_ids"][:-1] for i in ids[1:-1]]
    assert inner == masked.tokenizer(row["text"], add_special_tokens=False)["input_ids"]
    found = masked.decode([row, {"text": "fine"}], 16)
    assert 0.11 <= found[0]["tokens"] / len(inner) <= 0.19 and found[1]["tokens"] >= 1


def test_a_masked_row_has_the_score_of_transformers(masked: Made) -> None:
    features = masked.encode(ROWS[:1])
    batch = make_collate(features, lm.TASK, masked.schema, 0)([0])
    with torch.no_grad():
        log = masked.model(input_ids=batch.inputs["input_ids"]).logits[0].double().log_softmax(-1)
    places = [p for p, t in enumerate(batch.targets[0].tolist()) if t != lm.IGNORED]
    by_hand = -sum(float(log[p, batch.targets[0, p]]) for p in places)
    (found,) = masked.decode(ROWS[:1])
    assert found["nll"] == pytest.approx(by_hand, rel=1e-5) and found["tokens"] == len(places)


def test_an_empty_text_can_be_predicted(apart: Made, joined: Made, masked: Made) -> None:
    assert apart.decode([{"text": ""}])[0]["tokens"] == 1  # the end of text
    assert masked.decode([{"text": ""}])[0]["perplexity"] is None
    assert joined.decode([{"text": ""}])[0]["tokens"] == 1  # the line break
    assert [one["tokens"] for one in masked.decode([{"text": ""}, {"text": "fine"}])] == [0, 1]


def test_blank_rows_are_skipped_in_training_and_kept_when_predicting() -> None:
    rows = [{"text": "a"}, {"text": " "}, {"text": None}]
    assert lm.read_rows(rows, lm.Settings(), "x") == ([{"text": "a"}], ["2 of 3 rows are blank and were skipped"])
    assert lm.read_rows([{"text": " "}], None, "input") == ([{"text": " "}], [])
    with pytest.raises(DataError, match="all rows are blank"):
        lm.read_rows(rows[1:], lm.Settings(), "x")
    with pytest.raises(DataError, match="row 1: column 'text' must be text; found 5"):
        lm.read_rows([{"text": 5}], lm.Settings(), "x")


def test_a_setting_of_the_other_objective_is_refused(tiny_gpt2: str, tiny_bert: str) -> None:
    with pytest.raises(UsageError, match=r"task\.documents applies to decoders only; bert is of kind encoder"):
        Made(tiny_bert, documents="joined")
    with pytest.raises(UsageError, match=r"task\.mask_share applies to encoders only"):
        Made(tiny_gpt2, mask_share=0.3)


def test_an_encoder_without_a_mask_token_is_refused(tiny_bert: str) -> None:
    tokenizer = load_tokenizer(Path(tiny_bert))
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="mask token"):
        lm.find_schema(lm.Settings(), ROWS, None, read_pretrained(Path(tiny_bert), tokenizer))


def test_the_loss_is_the_sum_that_evaluation_reports(apart: Made) -> None:
    features = apart.encode(ROWS * 40, 64)  # more than one chunk of positions
    batch = make_collate(features, lm.TASK, apart.schema, 0)(range(len(features.notes)))
    with torch.no_grad():
        outputs = apart.model(**batch.inputs)
        loss = float(lm.loss_sum(outputs, batch, apart.schema))
    assert batch.targets.numel() > 2 * token_scores.CHUNK
    assert loss == pytest.approx(sum(float(v[0].sum()) for v in lm.predict(outputs, batch, apart.schema)), rel=1e-5)
    assert lm.count_targets(batch, apart.schema) == sum(note[2] - note[1] for notes in features.notes for note in notes)


def test_the_byte_baseline_has_bits_per_byte_and_no_tokens(apart: Made, masked: Made) -> None:
    decoded = lm.bytes_baseline(ROWS, ROWS, apart.schema, 0)
    predictions, references = lm.to_arrays(decoded, ROWS, apart.schema)
    metrics = lm.metrics(lm.Settings())
    assert math.isnan(metrics["perplexity"].fn(predictions, references))
    assert 0 < metrics["bits_per_byte"].fn(predictions, references) < 8
    assert lm.bytes_baseline(ROWS, ROWS, masked.schema, 0) == []


def test_a_score_that_is_not_finite_becomes_null(apart: Made) -> None:
    decoded = [token_scores.prediction(np.array([math.nan, 3, 5, 0]))]
    assert decoded[0]["nll"] is None and decoded[0]["perplexity"] is None
    predictions, references = lm.to_arrays(decoded, ROWS[:1], apart.schema)
    assert math.isnan(lm.metrics(lm.Settings())["perplexity"].fn(predictions, references))
