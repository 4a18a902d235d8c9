"""Write the model folder of a finished run: weights, tokenizer, inference.json, and hashes of the training rows."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

import ft_toolkit
from ft_toolkit.core.files import atomic_folder, file_sha256
from ft_toolkit.core.run_folder import ADAPTER_CONFIG
from ft_toolkit.core.run_records import BaseModelReference, EvaluationDefaults, InferenceContract, write_contract
from ft_toolkit.data.seen_rows import LIMIT, find_seen_rows, write_seen_rows
from ft_toolkit.models.adapters import save_model
from ft_toolkit.models.save_tokenizer import save_tokenizer
from ft_toolkit.models.temperature import folded_temperature
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.prepare import Prepared

Predictions = TypeVar("Predictions")


def write_model_folder(
    folder: Path, prepared: Prepared, model: Any, predict: Callable[[Prepared], Predictions]
) -> Predictions:
    """Write the model folder of a run: weights with the calibration temperature, tokenizer, inference.json, row hashes.

    Returns the result of `predict`, which is called with the saved schema while the model has the saved weights, before an
    adapter is merged. In bfloat16, logits divided in the last layer and logits divided afterwards are rounded differently. At
    the end, the weights of `model` are as before, except for a merged adapter.
    """
    classifier = prepared.task.classifier(prepared.recipe.task)
    temperature = 1.0 if classifier is None else classifier.temperature(prepared.schema)
    with (
        atomic_folder(folder) as new,
        folded_temperature(model, temperature, partial(_some_logits, prepared, model)) as is_folded,
    ):
        if is_folded and classifier is not None:
            prepared = replace(prepared, schema=classifier.with_temperature(prepared.schema, 1.0))
        predictions = predict(prepared)
        save_model(model, prepared.recipe.method, prepared.checkpoint, new)
        save_tokenizer(prepared.tokenizer, new)
        contract = inference_contract(new, prepared)
        write_contract(new, contract.model_copy(update={"folded_temperature": temperature}) if is_folded else contract)
        write_seen_rows(new, find_seen_rows(prepared.data.splits["train"], prepared.task, LIMIT))
    return predictions


def _some_logits(prepared: Prepared, model: Any) -> torch.Tensor:
    """Return the logits of the two shortest validation features in float32."""
    features = prepared.features["validation"]
    shortest = sorted(range(len(features.lengths)), key=features.lengths.__getitem__)[:2]
    collate = make_collate(features, prepared.task, prepared.schema, prepared.tokenizer.pad_token_id)
    batch = to_device(collate(shortest), next(model.parameters()).device)
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(**batch.inputs).logits.float()
    return logits


def inference_contract(folder: Path, prepared: Prepared) -> InferenceContract:
    """Return inference.json of a run: task, schema, length limit, precision, and the base model if `folder` is an adapter."""
    recipe, checkpoint = prepared.recipe, prepared.checkpoint
    needs_base = (folder / ADAPTER_CONFIG).is_file()
    weights = checkpoint.folder / "model.safetensors"
    base = BaseModelReference(
        name=checkpoint.reference,
        revision=checkpoint.commit,
        sha256=recipe.model.sha256,
        weights_sha256=file_sha256(weights) if needs_base and weights.is_file() else None,
    )
    return InferenceContract(
        ft_toolkit=ft_toolkit.__version__,
        task=prepared.task.name,
        settings=recipe.task.model_dump(mode="json"),
        schema=asdict(prepared.schema),
        evaluation=EvaluationDefaults(
            columns=dict(recipe.data.columns),
            label_separator=recipe.data.label_separator,
            card_columns=_card_columns(prepared),
            group=recipe.data.group,
            main_metric=prepared.main_metric,
            bootstrap_samples=recipe.evaluation.bootstrap_samples,
            seed=recipe.training.seed,
        ),
        max_length=recipe.data.max_length,
        mixed_precision=recipe.training.mixed_precision,
        tokens_per_batch=prepared.evaluation_tokens(),
        base_model=base if needs_base else None,
    )


def _card_columns(prepared: Prepared) -> dict[str, str]:
    card = prepared.data.card
    return card.columns_of(prepared.task.name) if card is not None else {}
