"""Attribute a classifier's prediction to the words of its input by integrated gradients on the token embeddings.

Sundararajan et al. 2017, arXiv:1703.01365; computed with Captum. The baseline is the same text with all tokens except special
tokens replaced by padding, so the attributions add up to the logit minus the logit of the baseline. Encoder-decoders are not
supported, because they read the embeddings twice.
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

# Points on the path from the baseline to the text, and the number of points in a batch.
_STEPS, _BATCH_SIZE = 64, 16


def explain(
    predictor: Predictor, classifier: Classifier, max_length: int, records: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the contribution of each word to the logit of the explained label, for records of predictions.jsonl.

    The keys are split, id, label, texts ({column: [{start, end, weight}]}), logit, start_logit (of the baseline) and
    unexplained. The weights of all words and `unexplained` add up to logit - start_logit; `unexplained` is the error of the
    approximation of the path by steps.
    """
    predictor.model.eval()
    assert classifier.explained_label is not None, "recipe/checks.py refuses attributions for other tasks"
    return [_explain(predictor, max_length, record, classifier.explained_label(record)) for record in records]


def write_attributions(path: Path, attributions: Rows) -> None:
    """Write one line per explained example."""
    write_file(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in attributions))


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
    ids = torch.tensor([tokens["input_ids"] or [tokenizer.pad_token_id]], device=model.device)
    special = torch.tensor([tokens["special_tokens_mask"] or [1]], device=model.device).bool()
    arguments = [torch.ones_like(ids)]
    if types := tokens.get("token_type_ids"):
        arguments.append(torch.tensor([types], device=model.device))

    def logits(embedded: torch.Tensor, mask: torch.Tensor, types: torch.Tensor | None = None) -> torch.Tensor:
        optional = {} if types is None else {"token_type_ids": types}
        values: torch.Tensor = model(inputs_embeds=embedded, attention_mask=mask, **optional).logits.float()
        return values

    embed, target = model.get_input_embeddings(), task.labels(predictor.schema).index(label)
    with torch.no_grad():
        embedded = embed(ids)
        baseline = embed(torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id)))
        logit, start_logit = (float(logits(point, *arguments)[0, target]) for point in (embedded, baseline))
    contributions = IntegratedGradients(logits).attribute(
        embedded,
        baseline,
        target=target,
        additional_forward_args=tuple(arguments),
        n_steps=_STEPS,
        internal_batch_size=_BATCH_SIZE,
    )
    weights = contributions.sum(dim=-1)[0].tolist()
    texts = {
        name: _by_word(
            record[name],
            [
                (*tokens["offset_mapping"][i], weights[i])
                for i, sequence in enumerate(tokens.sequence_ids(0))
                if sequence == number
            ],
        )
        for number, name in enumerate(names)
    }
    explained = sum(word["weight"] for words in texts.values() for word in words)
    return {
        "split": record["split"],
        "id": record["id"],
        "label": label,
        "texts": texts,
        "logit": logit,
        "start_logit": start_logit,
        "unexplained": logit - start_logit - explained,
    }


def _by_word(text: str, tokens: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Return the words with a weight, each with the sum of the weights of its tokens.

    `tokens` has start, end and weight of each token. A token belongs to the word in which it ends.
    """
    words = [{"start": match.start(), "end": match.end(), "weight": 0.0} for match in re.finditer(r"\S+", text)]
    number = 0
    for _, end, weight in tokens:
        while number < len(words) - 1 and words[number]["end"] < end:
            number += 1
        if words:
            words[number]["weight"] += weight
    return [word for word in words if word["weight"]]
