"""Save and restore a run, only for the data and the recipe it was saved for."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ft_toolkit.errors import ResumeError
from ft_toolkit.files import found_folder, whole_folder, write_json
from ft_toolkit.optim import trainable_parameters

# Settings that may differ between the saved run and the resumed one, because no weight depends on them.
_FREE_SETTINGS = {
    "training.logging_steps",
    "training.save_steps",
    "evaluation.bootstrap_samples",
    "evaluation.baselines",
}
_FREE_SECTIONS = {"reference", "tracking", "hub"}
# The rows have a fingerprint of their own, so where they come from may change.
_FREE_DATA_SETTINGS = {"card", "train", "validation", "test", "columns", "validation_fraction"}


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the trainable weights to a safetensors file."""
    save_file({name: parameter.detach().contiguous() for name, parameter in trainable_parameters(model)}, path)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Put saved trainable weights back, exactly. Raises ResumeError when they belong to another model."""
    saved = load_file(path)
    own = dict(trainable_parameters(model))
    if saved.keys() != own.keys() or any(saved[name].shape != own[name].shape for name in own):
        raise ResumeError(f"{path}: the saved weights do not fit this model; was the model or the method changed?")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def save_state(folder: Path, model: torch.nn.Module, optimizer: Any, state: dict[str, Any]) -> None:
    """Write weights, optimizer state and `state` (JSON-able) as the checkpoint `folder`."""
    with whole_folder(folder) as fresh:
        save_weights(model, fresh / "weights.safetensors")
        torch.save(optimizer.state_dict(), fresh / "optimizer.pt")
        write_json(fresh / "state.json", state)


def read_state(folder: Path, recipe: dict[str, Any], fingerprint: str, processes: int) -> tuple[Path, dict[str, Any]]:
    """Return where the checkpoint `folder` lies and its state.

    Raises ResumeError when there is none, or it was saved for other data, for a recipe that trains
    differently, or on another number of processes.
    """
    found = found_folder(folder)
    if found is None:
        raise ResumeError(f"{folder}: no checkpoint to resume from; start the run without --resume")
    state: dict[str, Any] = json.loads((found / "state.json").read_text(encoding="utf-8"))
    if state["fingerprint"] != fingerprint:
        raise ResumeError(
            f"{found} was saved for other rows (fingerprint {state['fingerprint'][:12]}..., now {fingerprint[:12]}"
            "...); restore the data, or start a new run"
        )
    if state["processes"] != processes:
        raise ResumeError(
            f"{found} was saved by {state['processes']} processes, now there are {processes}; start as many again"
        )
    if changed := changes(state["recipe"], recipe):
        raise ResumeError(f"{found} was saved for another recipe: {'; '.join(changed)}. Undo that, or start a new run")
    return found, state


def load_state(folder: Path, model: torch.nn.Module, optimizer: Any) -> None:
    """Put weights and optimizer state of a checkpoint back."""
    load_weights(model, folder / "weights.safetensors")
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))


def changes(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in words which settings that a weight depends on differ between two recipes."""
    found = []
    for section in now:
        before, after = saved.get(section) or {}, now[section] or {}
        for key in {**before, **after}:
            name = f"{section}.{key}"
            free = (
                section in _FREE_SECTIONS
                or name in _FREE_SETTINGS
                or (section == "data" and key in _FREE_DATA_SETTINGS)
            )
            if not free and before.get(key) != after.get(key):
                found.append(f"{name} was {before.get(key)!r}, now {after.get(key)!r}")
    return found
