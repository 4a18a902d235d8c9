"""The model folder of an adapter gives the same logits in ft_toolkit and in plain transformers with peft."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.adapters import attach, save_model
from ft_toolkit.models.pretrained import Checkpoint, load_model, load_tokenizer, read_pretrained
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.collate import make_collate

TASKS = find_tasks()
CLASSIFIER, TAGGER = "AutoModelForSequenceClassification", "AutoModelForTokenClassification"


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
@pytest.mark.parametrize(
    ("task_name", "architecture", "model_class", "needs_config"),
    [
        ("text_classification", "bert", CLASSIFIER, True),
        ("text_classification", "gpt2", CLASSIFIER, True),
        ("ner", "roberta", TAGGER, True),
        ("question_answering", "distilbert", "AutoModelForQuestionAnswering", False),
        ("language_modelling", "bert", "AutoModelForMaskedLM", False),
        ("language_modelling", "llama", "AutoModelForCausalLM", False),
        ("summarization", "t5", "AutoModelForSeq2SeqLM", False),
    ],
)
def test_an_adapter_folder_loads_with_plain_transformers(
    task_name: str,
    architecture: str,
    model_class: str,
    needs_config: bool,
    method: str,
    tiny: Callable[[str], str],
    tmp_path: Path,
) -> None:
    task, folder = TASKS[task_name], Path(tiny(architecture))
    settings, tokenizer = task.settings(name=task_name), load_tokenizer(folder)
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "rows")
    schema = task.find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
    loaded = load_model(folder, task, schema, tokenizer, dropout=None, seed=0)
    values: Any = METHODS[method](name=method)
    model = attach(loaded.model, values, loaded.new_modules, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 20)
    save_model(model, values, Checkpoint(str(folder), folder, None, None), tmp_path)
    config = {"config": AutoConfig.from_pretrained(tmp_path, subfolder="base_config")} if needs_config else {}
    plain = getattr(transformers, model_class).from_pretrained(tmp_path, dtype=torch.float32, **config)
    features = task.encode(rows, tokenizer, schema, 48)
    batch = make_collate(features, task, schema, tokenizer.pad_token_id)([0, 1])
    with torch.no_grad():
        ours, theirs = model.eval()(**batch.inputs), plain.eval()(**batch.inputs)
    name = "start_logits" if task_name == "question_answering" else "logits"
    torch.testing.assert_close(theirs[name], ours[name])
    if needs_config:
        assert plain.config.id2label == task.model_kwargs(schema)["id2label"]


def test_an_output_layer_that_an_adapter_would_lose_is_refused_before_training(
    tiny: Callable[[str], str], tmp_path: Path
) -> None:
    """The random layer was not saved, so the run failed in the reload check, after training."""
    import shutil

    from safetensors.torch import load_file, save_file

    task = TASKS["language_modelling"]
    folder = Path(shutil.copytree(tiny("llama"), tmp_path / "llama"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = load_tokenizer(folder)
    schema = task.find_schema(task.settings(name=task.name), [], None, read_pretrained(folder, tokenizer))
    loaded = load_model(folder, task, schema, tokenizer, dropout=None, seed=0)
    with pytest.raises(ModelError, match="no weights for lm_head, and an adapter neither trains nor saves this layer"):
        attach(loaded.model, METHODS["lora"](name="lora"), loaded.new_modules, seed=0)
    assert attach(loaded.model, METHODS["full"](name="full"), loaded.new_modules, seed=0) is loaded.model
