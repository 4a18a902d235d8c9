"""What each word of a text contributed to a classifier's answer: integrated gradients (Sundararajan et al. 2017,
arXiv:1703.01365) on the word embeddings, through Captum.

The path starts at the same text with every token but the special ones padded; the contributions add up to the logit minus
the logit there. Encoders and decoders alone: an encoder-decoder reads its embeddings twice.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ft_toolkit.core.files import write_file
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.tasks.base import Classifier, Rows

# Points of the path, and how many of them are computed together.
_STEPS, _TOGETHER = 64, 16


def explain(
    predictor: Predictor, classifier: Classifier, max_length: int, records: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return, per record of predictions.jsonl, what each word added to the logit of the label in question.

    {split, id, label, texts: {column: [{start, end, weight}]}, logit, start_logit, unexplained}: the weights of all words
    add up to logit - start_logit but for `unexplained`, the error of computing the path in steps.
    """
    predictor.model.eval()
    assert classifier.explained_label is not None, "recipe/load.py refuses other settings"
    return [_explain(predictor, max_length, record, classifier.explained_label(record)) for record in records]


def write_attributions(path: Path, found: Rows) -> None:
    """Write one line per explained example."""
    write_file(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found))


def _explain(predictor: Predictor, max_length: int, record: Mapping[str, Any], label: str) -> dict[str, Any]:
    from captum.attr import IntegratedGradients

    model, tokenizer, task = predictor.model, predictor.tokenizer, predictor.task
    names = [name for name, column in task.columns.items() if not column.is_answer and name in record]
    tokens = tokenizer(
        *[record[name] for name in names],
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    common = {"split": record["split"], "id": record["id"], "label": label}
    ids = torch.tensor([tokens["input_ids"] or [tokenizer.pad_token_id]], device=model.device)
    special = torch.tensor([tokens["special_tokens_mask"] or [1]], device=model.device).bool()
    others = [torch.ones_like(ids)]
    if types := tokens.get("token_type_ids"):
        others.append(torch.tensor([types], device=model.device))

    def logits(embedded: torch.Tensor, mask: torch.Tensor, types: torch.Tensor | None = None) -> torch.Tensor:
        more = {} if types is None else {"token_type_ids": types}
        found: torch.Tensor = model(inputs_embeds=embedded, attention_mask=mask, **more).logits.float()
        return found

    embed, target = model.get_input_embeddings(), task.labels(predictor.schema).index(label)
    with torch.no_grad():
        here = embed(ids)
        start = embed(torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id)))
        ends = [float(logits(one, *others)[0, target]) for one in (here, start)]
    contributions = IntegratedGradients(logits).attribute(
        here, start, target=target, additional_forward_args=tuple(others), n_steps=_STEPS, internal_batch_size=_TOGETHER
    )
    weights = contributions.sum(dim=-1)[0].tolist()
    texts = {
        name: _by_word(
            record[name],
            [
                (*tokens["offset_mapping"][i], weights[i])
                for i, which in enumerate(tokens.sequence_ids(0))
                if which == number
            ],
        )
        for number, name in enumerate(names)
    }
    explained = sum(word["weight"] for words in texts.values() for word in words)
    found = {"texts": texts, "logit": ends[0], "start_logit": ends[1], "unexplained": ends[0] - ends[1] - explained}
    return {**common, **found}


def _by_word(text: str, tokens: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Return the words with a token, each with the sum of its tokens' weights; a token belongs to the word it ends in."""
    words = [{"start": found.start(), "end": found.end(), "weight": 0.0} for found in re.finditer(r"\S+", text)]
    number = 0
    for _, end, weight in tokens:
        while number < len(words) - 1 and words[number]["end"] < end:
            number += 1
        if words:
            words[number]["weight"] += weight
    return [word for word in words if word["weight"]]
