"""Small models of any transformers class, without dropout, and helpers to compare them."""

from typing import Any

import torch
import transformers

VOCABULARY, NAMED = 90, 50


def config_of(class_name: str) -> Any:
    """Return a small config for a model class, without dropout."""
    config = getattr(transformers, class_name).config_class()
    small = {
        "vocab_size": VOCABULARY,
        "num_hidden_layers": 3,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "embedding_size": 16,
        "hidden_dim": 64,
        "num_labels": 2 if "QuestionAnswering" in class_name else 3,
        "pooler_hidden_size": 32,
        "pad_token_id": 1,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    values = config.to_dict()
    for name, value in small.items():
        if name in values or name in config.attribute_map or name == "num_labels":
            setattr(config, name, value)
    for name, value in values.items():
        if ("dropout" in name or "pdrop" in name) and isinstance(value, float):
            setattr(config, name, 0.0)
    return config


def model_of(class_name: str) -> Any:
    torch.manual_seed(5)
    model = getattr(transformers, class_name)(config_of(class_name))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.train()


def texts(pad: int, lengths: tuple[int, ...] = (9, 6, 9, 2)) -> dict[str, torch.Tensor]:
    ids = torch.randint(4, NAMED, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
