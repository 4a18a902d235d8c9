"""The calibration temperature in the weights of the last layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ft_toolkit.models.adapters import attach
from ft_toolkit.models.pretrained import load_model, load_tokenizer
from ft_toolkit.models.temperature import folded_temperature
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
SCHEMA = TASK.find_schema(TASK.settings(labels=["a", "b", "c"]), [{"text": "x", "label": "a"}], None, None)


@pytest.mark.parametrize(
    "method", [None, LoraMethod(name="lora"), LoraMethod(name="dora")], ids=["full", "lora", "dora"]
)
@pytest.mark.parametrize(
    "architecture",
    ["bert", "distilbert", "roberta", "electra", "deberta-v2", "modernbert", "gpt2", "llama", "bart", "t5"],
)
def test_the_logits_of_every_family_are_divided(
    tiny: Callable[[str], str], architecture: str, method: LoraMethod | None
) -> None:
    folder = Path(tiny(architecture))
    tokenizer = load_tokenizer(folder)
    loaded = load_model(folder, TASK, SCHEMA, tokenizer, dropout=0.0 if architecture != "llama" else None, seed=0)
    model = loaded.model if method is None else attach(loaded.model, method, loaded.new_modules, seed=0)
    model.eval()
    inputs = tokenizer(["good lamp", "how late"], return_tensors="pt", padding=True, return_token_type_ids=False)

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return model(**inputs).logits

    before, weights = logits(), {name: value.clone() for name, value in model.state_dict().items()}
    with folded_temperature(model, 2.5, logits) as is_folded:
        assert is_folded
        torch.testing.assert_close(logits(), before / 2.5)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


class Bounded(torch.nn.Module):
    """A classifier whose last linear layer does not return the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.classifier(x))


@pytest.mark.parametrize("model", [Bounded(), torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))])
def test_a_head_that_is_not_linear_keeps_its_weights(model: Any) -> None:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    before = model(x)
    with folded_temperature(model, 2.5, lambda: model(x).detach()) as is_folded:
        assert not is_folded
        assert torch.equal(model(x), before)


def test_temperature_1_changes_nothing() -> None:
    model = torch.nn.Linear(4, 3)
    with folded_temperature(model, 1.0, lambda: pytest.fail("no logits are needed")) as is_folded:
        assert not is_folded


def test_the_layer_is_found_in_bfloat16_too(tiny_bert: str) -> None:
    """The forward pass of a trained model may run in bfloat16, where folded and divided logits are rounded differently."""
    folder = Path(tiny_bert)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, TASK, SCHEMA, tokenizer, dropout=None, seed=0).model.eval()
    inputs = tokenizer(["good lamp", "how late"], return_tensors="pt", padding=True)

    def logits() -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            return model(**inputs).logits.float()

    before = model.classifier.weight.detach().clone()
    with folded_temperature(model, 0.3, logits) as is_folded:
        assert is_folded
        torch.testing.assert_close(model.classifier.weight, before / 0.3)
