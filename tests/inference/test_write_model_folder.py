"""A saved classifier gives the same probabilities in ft_toolkit and in transformers alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

import ft_toolkit
from ft_toolkit.inference.model_folder import write_merged
from ft_toolkit.inference.write_model_folder import write_model_folder
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare

TEXT = "good the lamp fine 3"


def weights_of(model: Any) -> torch.Tensor:
    """Return a copy of the weights of the classifier."""
    return next(
        p.detach().clone()
        for name, p in model.named_parameters()
        if name.endswith("classifier.weight") or "classifier.modules_to_save" in name
    )


@pytest.mark.parametrize("method", [{"name": "full"}, {"name": "lora"}, {"name": "lora", "merge": True}])
def test_probabilities_with_a_temperature_are_those_of_transformers(
    method: dict[str, Any], write_recipe: Any, data_files: dict[str, str], here: Any, tmp_path: Path
) -> None:
    """They were 0.661 in transformers and 0.975 in ft_toolkit: the temperature was not in the weights."""
    loaded = load_recipe(write_recipe(method=method), ["training.mixed_precision=no"], find_tasks())
    prepared = prepare(loaded, work_folder=tmp_path)
    prepared = replace(prepared, schema=replace(prepared.schema, temperature=0.2))
    model = build_model(prepared).model
    with torch.no_grad():  # random weights of a tiny model give nearly equal probabilities
        for name, parameter in model.named_parameters():
            if "classifier" in name:
                parameter.mul_(20)
    folder = tmp_path / "model"
    saved = write_model_folder(folder, prepared, model, lambda saved: (saved.schema.temperature, weights_of(model)))
    assert saved[0] == 1.0 and not torch.equal(saved[1], weights_of(model)), "predicted with the saved weights"
    contract = json.loads((folder / "inference.json").read_text())
    assert (contract["schema"]["temperature"], contract["folded_temperature"]) == (1.0, 0.2)
    ours = ft_toolkit.load(folder)(TEXT)
    is_adapter = (folder / "adapter_config.json").exists()
    assert (
        is_adapter == (method["name"] == "lora" and not method.get("merge", False)) != (folder / "config.json").exists()
    )
    config = AutoConfig.from_pretrained(folder, subfolder="base_config" if is_adapter else "")
    plain = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    classify = pipeline(
        "text-classification", model=plain, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu"
    )
    scores = {entry["label"]: entry["score"] for entry in classify(TEXT, top_k=None)}
    assert scores == pytest.approx(ours["probabilities"], abs=1e-5)
    assert max(scores.values()) > 0.5
    if not is_adapter:
        return
    here("evaluate", folder, "--data", data_files["test"], "--output", tmp_path / "evaluation")
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    record = results["scores"]["test"]["calibration"]
    assert record["temperature"] == 0.2, "compared with the probabilities before calibration"
    assert record["nll"]["before"] != record["nll"]["after"]


def test_the_saved_tokenizer_does_not_cut_texts(write_recipe: Any, tmp_path: Path) -> None:
    """tokenizer.json had the maximum length of the run, so that programs with the library tokenizers cut texts silently."""
    loaded = load_recipe(write_recipe(method={"name": "lora"}), ["data.max_length=8"], find_tasks())
    prepared = prepare(loaded, work_folder=tmp_path)
    prepared.tokenizer("good bad", truncation=True, max_length=8, padding="max_length")
    write_model_folder(tmp_path / "model", prepared, build_model(prepared).model, lambda saved: None)
    write_merged(tmp_path / "model", tmp_path / "merged")
    for folder in (tmp_path / "model", tmp_path / "merged"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert tokenizer.truncation is None and tokenizer.padding is None
        assert len(tokenizer.encode("good bad " * 20).ids) > 40
