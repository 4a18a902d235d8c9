"""Adapters of finished runs: load them with their base model, and merge them into it to continue the training."""

import json
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.files import atomic_folder, file_sha256, write_json
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, INFERENCE
from ft_toolkit.core.run_records import BaseModelReference, read_contract
from ft_toolkit.models.adapters import carried_modules, load_adapter
from ft_toolkit.models.pooled_model import save_pretrained
from ft_toolkit.models.pretrained import (
    NAME_HINT,
    Checkpoint,
    find_checkpoint,
    kind_of,
    load_saved_config,
    load_tokenizer,
    weights_sha256,
)
from ft_toolkit.models.save_tokenizer import save_tokenizer
from ft_toolkit.models.weights import load_weights
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task

# The file that says which adapter a folder with merged weights was made from.
_ORIGIN = "merged_from.json"


def load_adapted(folder: Path, base: BaseModelReference, task: Task, moved_to: str | None = None) -> Any:
    """Return the model of an adapter: its base model, loaded for the task, with the adapter of `folder`.

    `moved_to` is the folder of a base model that was moved; None uses the name in inference.json. Raises ModelError.
    """
    source = _find_base(folder, base, moved_to).folder
    # the kind of the base: an encoder may have become an encoder-decoder
    kind = kind_of(load_saved_config(source))
    config = load_saved_config(folder)
    model, _ = load_weights(source, task.auto_class[kind], config, carried=carried_modules(folder))
    return load_adapter(model, folder)


def _find_base(folder: Path, base: BaseModelReference, moved_to: str | None) -> Checkpoint:
    """Return the base model of an adapter. Raises ModelError if it is not found, or if its weights differ."""
    section = ModelSection(name=base.name, revision=base.revision, sha256=base.sha256)
    if moved_to is None:
        try:
            return find_checkpoint(section)
        except ModelError as error:
            reason = str(error).removesuffix(NAME_HINT).removesuffix(".")
            raise ModelError(
                f"{folder} is an adapter, and its base model was not found: {reason}. If it was moved, name its folder: "
                f"--base FOLDER in 'ftk predict' and 'ftk evaluate', load(..., base=FOLDER) in Python, or base_model.name in "
                f"{folder / INFERENCE}"
            ) from None
    checkpoint = find_checkpoint(section.model_copy(update={"name": moved_to, "revision": None}))
    weights = checkpoint.folder / "model.safetensors"
    if base.weights_sha256 is not None and weights.is_file() and file_sha256(weights) != base.weights_sha256:
        raise ModelError(
            f"{moved_to} is not the base model of {folder}: its weights differ from the weights of {base.name} at the time of "
            "the training. Give the folder of that model"
        )
    return checkpoint


def merge_adapter(checkpoint: Checkpoint, target: Path) -> Checkpoint:
    """Write the base model with the adapter of a finished run merged to `target`, and return it as a checkpoint.

    `target` is reused if it already has the weights of this adapter. Raises ModelError for an adapter that ft_toolkit did not
    write.
    """
    folder = checkpoint.folder
    if not (folder / INFERENCE).is_file():
        raise ModelError(
            f"model '{checkpoint.name}' is a peft adapter without {INFERENCE}, so its task is unknown. Merge it into its base "
            "model with peft (merge_and_unload, then save_pretrained), and give that folder"
        )
    contract = read_contract(folder)
    task = find_tasks().get(contract.task)
    if task is None or contract.base_model is None:
        raise ModelError(f"model '{checkpoint.name}': {folder / INFERENCE} does not name a known task and a base model")
    origin = {"adapter": weights_sha256(folder / ADAPTER_WEIGHTS), "base": contract.base_model.model_dump(mode="json")}
    if not (target / _ORIGIN).is_file() or json.loads((target / _ORIGIN).read_text(encoding="utf-8")) != origin:
        model = load_adapted(folder, contract.base_model, task).merge_and_unload()
        with atomic_folder(target) as new:
            save_pretrained(model, new)
            save_tokenizer(load_tokenizer(folder), new)
            write_json(new / _ORIGIN, origin)
    return Checkpoint(checkpoint.name, target, checkpoint.revision, None, is_merged=True)


def is_adapter(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint is an adapter, which needs its base model."""
    return (checkpoint.folder / ADAPTER_CONFIG).is_file() and (checkpoint.folder / ADAPTER_WEIGHTS).is_file()
