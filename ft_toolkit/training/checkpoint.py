"""Save and restore a run, only for the data and the recipe it was saved for."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.files import atomic_folder, find_folder, write_json
from ft_toolkit.training.optimizer import trainable_parameters

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
# How the rows of an optimizer step are split is free, which rows they are is not; see `_step_size`.
_SPLIT = {"training.examples_per_batch", "training.gradient_accumulation_steps"}
# How a file of a checkpoint is read: by the main process alone where there are several.
Read = Callable[[Path], bytes]


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the trainable weights to a safetensors file."""
    save_file({name: parameter.detach().contiguous() for name, parameter in trainable_parameters(model)}, path)


def load_weights(model: torch.nn.Module, path: Path, read: Read = Path.read_bytes) -> None:
    """Put saved trainable weights back, exactly. Raises ResumeError when they belong to another model."""
    saved = load(read(path))
    own = dict(trainable_parameters(model))
    if saved.keys() != own.keys() or any(saved[name].shape != own[name].shape for name in own):
        raise ResumeError(f"{path}: the saved weights do not fit this model; was the model or the method changed?")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def save_state(
    folder: Path, state: dict[str, Any], model: torch.nn.Module, optimizer_state: dict[str, Any] | None
) -> None:
    """Write `state` (JSON-able), whole weights and whole optimizer state as the checkpoint `folder`.

    Without an optimizer state (None) nothing is to be trained any more, and `state` is all.
    """
    with atomic_folder(folder) as fresh:
        write_json(fresh / "state.json", state)
        if optimizer_state is not None:
            save_weights(model, fresh / "weights.safetensors")
            torch.save(optimizer_state, fresh / "optimizer.pt")


def read_state(folder: Path, recipe: dict[str, Any], fingerprint: str, processes: int) -> tuple[Path, dict[str, Any]]:
    """Return where the checkpoint `folder` lies and its state.

    The number of processes may have changed where a step still has the same rows. Raises ResumeError when there is no
    checkpoint, or it was saved for other data, or for a recipe or a number of processes that trains differently.
    """
    found = find_folder(folder)
    if found is None:
        raise ResumeError(f"{folder}: no checkpoint to resume from; start the run without --resume")
    state: dict[str, Any] = json.loads((found / "state.json").read_text(encoding="utf-8"))
    if state["fingerprint"] != fingerprint:
        raise ResumeError(
            f"{found} was saved for other rows (fingerprint {state['fingerprint'][:12]}..., now {fingerprint[:12]}"
            "...); restore the data, or start a new run"
        )
    if changed := changes(state["recipe"], recipe, (state["processes"], processes)):
        raise ResumeError(
            f"{found} was saved for another training: {'; '.join(changed)}. Undo that, or start a new run"
        )
    return found, state


def load_state(folder: Path, model: torch.nn.Module, read: Read = Path.read_bytes) -> dict[str, Any]:
    """Put the weights of a checkpoint back, and return its whole optimizer state."""
    load_weights(model, folder / "weights.safetensors", read)
    state = io.BytesIO(read(folder / "optimizer.pt"))
    found: dict[str, Any] = torch.load(state, weights_only=True, map_location="cpu")
    return found


def changes(saved: dict[str, Any], now: dict[str, Any], processes: tuple[int, int] = (1, 1)) -> list[str]:
    """Return in words which settings that a weight depends on differ between two recipes.

    `processes` says how many there were and are: with the settings of `_SPLIT` they decide which rows a step has.
    """
    found = []
    for section in now:
        before, after = saved.get(section) or {}, now[section] or {}
        for key in {**before, **after}:
            name = f"{section}.{key}"
            free = (
                section in _FREE_SECTIONS
                or name in _FREE_SETTINGS | _SPLIT
                or (section == "data" and key in _FREE_DATA_SETTINGS)
            )
            if not free and before.get(key) != after.get(key):
                found.append(f"{name} was {before.get(key)!r}, now {after.get(key)!r}")
    found += _other_steps(saved.get("training") or {}, now.get("training") or {}, processes)
    return found


def _other_steps(saved: dict[str, Any], now: dict[str, Any], processes: tuple[int, int]) -> list[str]:
    """Return in words, and with the remedy, that an optimizer step had another size; nothing when it had not."""
    before, after = _step_size(saved, processes[0]), _step_size(now, processes[1])
    if before == after:
        return []
    text = f"an optimizer step had {_in_words(saved, processes[0])}, now it has {_in_words(now, processes[1])}"
    accumulate = before * (now.get("gradient_accumulation_steps") or 1) / after
    if accumulate >= 1 and accumulate == int(accumulate):
        text += f"; set training.gradient_accumulation_steps={int(accumulate)}"
    return [text]


def _step_size(training: dict[str, Any], processes: int) -> int:
    """Return the examples of an optimizer step, or with `tokens_per_batch` its micro-batches over all processes.

    Either way, steps of the same size have the same rows, however they are split (see `batching.epoch_batches`).
    """
    micros: int = (training.get("gradient_accumulation_steps") or 1) * processes
    examples: int = training.get("examples_per_batch") or 1
    return micros * examples


def _in_words(training: dict[str, Any], processes: int) -> str:
    examples, accumulate = training.get("examples_per_batch"), training.get("gradient_accumulation_steps") or 1
    split = (
        f"{accumulate} micro-batch{'es' if accumulate > 1 else ''} x {processes} process{'es' if processes > 1 else ''}"
    )
    size = _step_size(training, processes)
    return f"{size} examples ({examples} x {split})" if examples else f"{size} micro-batches ({split})"
