"""Pooling: padding on either side does not count, and a checkpoint says how it was trained."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.pooling import CheckpointPooling, choose_pooling, find_pooling, pool
from ft_toolkit.recipe.sections import Pooling

PLAIN = SimpleNamespace(model_type="bert", architectures=["BertModel"])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("how", ["first", "mean", "max", "last"])
def test_padding_does_not_count(how: Pooling, side: str) -> None:
    torch.manual_seed(0)
    text = torch.randn(1, 3, 4) - 5  # all values are below those of the padding
    expected = {"first": text[:, 0], "mean": text.mean(1), "max": text.amax(1), "last": text[:, -1]}[how]
    padding = torch.full((1, 2, 4), 100.0)
    hidden = torch.cat([padding, text] if side == "left" else [text, padding], dim=1)
    mask = torch.tensor([[0, 0, 1, 1, 1]] if side == "left" else [[1, 1, 1, 0, 0]])
    torch.testing.assert_close(pool(hidden, mask, how), expected)
    torch.testing.assert_close(pool(text, None, how), expected)


def test_a_mean_of_bfloat16_is_summed_in_float32() -> None:
    hidden = torch.full((1, 1000, 2), 1.0, dtype=torch.bfloat16)
    hidden[:, 0] = 256
    assert pool(hidden, None, "mean")[0, 0].item() == torch.tensor(1.255).bfloat16().item()


def write_modules(folder: Path, pooling: dict[str, Any]) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, None),  # a concatenation
        ({"pooling_mode_weightedmean_tokens": True}, None),
    ],
)
def test_the_files_of_sentence_transformers_say_the_pooling(tmp_path: Path, values: Any, how: str | None) -> None:
    write_modules(tmp_path, values)
    expected = None if how is None else CheckpointPooling(how, "1_Pooling/config.json")  # type: ignore[arg-type]
    assert find_pooling(tmp_path, PLAIN) == expected


def test_modernbert_says_its_pooling_in_its_config(tmp_path: Path) -> None:
    assert find_pooling(tmp_path, PLAIN) is None
    config = SimpleNamespace(model_type="modernbert", classifier_pooling="mean", architectures=None)
    found = find_pooling(tmp_path, config)
    assert found is not None and (found.how, found.source) == ("mean", "classifier_pooling in config.json")


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[{")
    with pytest.raises(ModelError, match=r"modules\.json: the file cannot be read"):
        find_pooling(tmp_path, PLAIN)


def test_auto_takes_the_pooling_of_the_checkpoint_and_says_why(tmp_path: Path) -> None:
    choice = choose_pooling("auto", tmp_path, PLAIN, "encoder")
    assert (choice.how, choice.reason) == (None, "the default of bert; the checkpoint names no other")
    write_modules(tmp_path, {"pooling_mode": "mean"})
    choice = choose_pooling("auto", tmp_path, PLAIN, "encoder")
    assert (choice.how, choice.reason) == ("mean", "named by 1_Pooling/config.json of the checkpoint")
    assert choose_pooling(None, tmp_path, PLAIN, "encoder").how is None
    assert choose_pooling("max", tmp_path, PLAIN, "encoder").how == "max"
    assert choose_pooling("auto", tmp_path, PLAIN, "encoder-decoder").how is None


def test_auto_keeps_the_way_with_which_a_head_was_trained(tmp_path: Path) -> None:
    write_modules(tmp_path, {"pooling_mode": "mean"})
    trained = SimpleNamespace(model_type="bert", architectures=["BertForSequenceClassification"])
    assert choose_pooling("auto", tmp_path, trained, "encoder").how is None
    trained.ft_toolkit_pooling = "max"
    assert choose_pooling("auto", tmp_path, trained, "encoder").how == "max"


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("mean", "encoder-decoder", "its classifier reads the end token of the decoder. Set model.pooling=null"),
        ("first", "decoder", "its first token does not see the others. Set model.pooling to mean, max or last"),
    ],
)
def test_a_pooling_that_a_kind_of_model_does_not_support_is_refused(
    tmp_path: Path, how: Pooling, kind: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        choose_pooling(how, tmp_path, PLAIN, kind)
