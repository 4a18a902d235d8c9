"""Save a run's checkpoint, and load it if the data and the recipe are still the same."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file

from ft_toolkit.core.errors import ResumeError
from ft_toolkit.core.files import atomic_folder, find_folder, write_json
from ft_toolkit.core.json_records import damaged, read_object
from ft_toolkit.core.run_folder import STATE
from ft_toolkit.recipe.sections import AugmentationSection
from ft_toolkit.training.checkpoint_files import OPTIMIZER, STATE_KEYS, WEIGHTS, seal
from ft_toolkit.training.optimizer import trainable_parameters
from ft_toolkit.training.prepare import SavedValues

# Settings that a resumed run may change, because no weight of a finished step depends on them.
_FREE_SETTINGS = {
    "training.logging_steps",
    "training.save_steps",
    "training.lost_process_seconds",
    # a run that stopped at a loss that is not finite can be resumed with "skip"
    "training.on_nonfinite",
    "training.max_skipped_steps",
    "evaluation.bootstrap_samples",
    "evaluation.baselines",
}
_FREE_SECTIONS = {"reference", "tracking", "hub"}
# A fingerprint checks the rows, so their source may change.
_FREE_DATA_SETTINGS = {
    "card",
    "hub",
    "hub_config",
    "train",
    "validation",
    "test",
    "columns",
    "label_separator",
    "validation_fraction",
    "test_fraction",
    "group",
    "on_bad_rows",
    "reading",
}
# A resumed run may split the rows of an optimizer step differently, but not change these rows: see `_step_size`.
_STEP_SETTINGS = {"training.examples_per_batch", "training.gradient_accumulation_steps"}
# The values of sections that checkpoints of earlier versions do not have.
_NEW_SECTIONS = {"augmentation": AugmentationSection().model_dump(mode="json")}
# Reads a file of a checkpoint: with several processes, on the main process only.
Read = Callable[[Path], bytes]


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the trainable weights to a safetensors file."""
    save_file({name: parameter.detach().contiguous() for name, parameter in trainable_parameters(model)}, path)


def load_weights(model: torch.nn.Module, path: Path, read: Read = Path.read_bytes) -> None:
    """Load saved trainable weights into the model. Raises ResumeError if they belong to another model."""
    saved = load(read(path))
    parameters = dict(trainable_parameters(model))
    if saved.keys() != parameters.keys() or any(saved[name].shape != parameters[name].shape for name in parameters):
        raise ResumeError(
            f"{path}: the saved weights do not fit this model; restore the model and the method, or start a new run"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def save_state(
    folder: Path,
    state: dict[str, Any],
    model: torch.nn.Module,
    optimizer_state: dict[str, Any] | None,
    previous: Path | None = None,
) -> None:
    """Write `state` (JSON), unsharded weights and unsharded optimizer state to the checkpoint `folder`, atomically.

    `optimizer_state` is None after the last step; then only `state` is written. The replaced checkpoint is kept as `previous`.
    """
    with atomic_folder(folder, previous) as new_folder:
        if optimizer_state is not None:
            save_weights(model, new_folder / WEIGHTS)
            # a file of Python, whose error says why a write failed
            with (new_folder / OPTIMIZER).open("wb") as file:
                torch.save(optimizer_state, file)
        write_json(new_folder / STATE, seal(new_folder, state))


def save_best(folder: Path, step: int, model: torch.nn.Module, previous: Path) -> None:
    """Write the weights after a step to the checkpoint `folder`, atomically; the replaced one is kept as `previous`."""
    with atomic_folder(folder, previous) as new_folder:
        save_weights(model, new_folder / WEIGHTS)
        write_json(new_folder / STATE, seal(new_folder, {"step": step}))


def read_state(folder: Path, recipe: dict[str, Any], fingerprint: str, processes: int) -> tuple[Path, dict[str, Any]]:
    """Return the path of the checkpoint `folder`, which may be a backup, and its state.

    The number of processes may differ if a step still has the same rows. Raises ResumeError if no checkpoint exists, or if it
    belongs to other data, or to a recipe or number of processes that changes the training.
    """
    saved_folder, state = _find_state(folder)
    if state["fingerprint"] != fingerprint:
        raise ResumeError(
            f"{saved_folder} belongs to other rows (fingerprint {state['fingerprint'][:12]}..., now {fingerprint[:12]}"
            "...); restore the data, or start a new run"
        )
    if changes := training_changes(state["recipe"], recipe, (state["processes"], processes)):
        raise ResumeError(
            f"{saved_folder} belongs to another training: {'; '.join(changes)}. Undo the changes, or start a new run"
        )
    return saved_folder, state


def read_saved_values(folder: Path) -> SavedValues:
    """Return the values of the checkpoint `folder` that a resumed run does not derive again. Raises ResumeError."""
    _, state = _find_state(folder)
    return SavedValues(
        {section: values for section, values in state["recipe"].items() if isinstance(values, dict)},
        state["processes"],
        state.get("total_steps"),
        state.get("evaluation_tokens"),
        state.get("selection", 1),
        state.get("sorts_by_both_lengths", False),
    )


def _find_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the path of a checkpoint and its state. Raises ResumeError, or RunFolderError when the state is damaged."""
    saved_folder = find_folder(folder)
    if saved_folder is None:
        raise ResumeError(f"{folder}: checkpoint not found; start the run without --resume")
    path = saved_folder / STATE
    state = read_object(path)
    for key in STATE_KEYS:
        if key not in state:
            raise damaged(path, f"key '{key}' is missing")
    return saved_folder, state


def load_state(folder: Path, model: torch.nn.Module, read: Read = Path.read_bytes) -> dict[str, Any]:
    """Load the weights of a checkpoint into the model, and return its unsharded optimizer state."""
    load_weights(model, folder / WEIGHTS, read)
    file = io.BytesIO(read(folder / OPTIMIZER))
    optimizer_state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    return optimizer_state


def training_changes(saved: dict[str, Any], now: dict[str, Any], processes: tuple[int, int] = (1, 1)) -> list[str]:
    """Return a description of each difference between two recipes that affects the weights.

    `processes` holds the saved and the current number of processes, which affects the rows of a step.
    """
    changes = []
    for section in now:
        before, after = saved.get(section, _NEW_SECTIONS.get(section)) or {}, now[section] or {}
        for key in {**before, **after}:
            name = f"{section}.{key}"
            free = (
                section in _FREE_SECTIONS
                or name in _FREE_SETTINGS | _STEP_SETTINGS
                or (section == "data" and key in _FREE_DATA_SETTINGS)
            )
            # a switch that an earlier version did not have was off
            absent = False if False in (before.get(key), after.get(key)) else None
            if not free and before.get(key, absent) != after.get(key, absent):
                changes.append(f"{name} was {before.get(key)!r}, now {after.get(key)!r}")
    changes += _step_changes(saved.get("training") or {}, now.get("training") or {}, processes)
    return changes


def _step_changes(saved: dict[str, Any], now: dict[str, Any], processes: tuple[int, int]) -> list[str]:
    """Return a message with a remedy if the size of an optimizer step changed, else an empty list."""
    before, after = _step_size(saved, processes[0]), _step_size(now, processes[1])
    if before == after:
        return []
    text = (
        f"an optimizer step had {_describe_step(saved, processes[0])}, now it has {_describe_step(now, processes[1])}"
    )
    accumulate = before * (now.get("gradient_accumulation_steps") or 1) / after
    if accumulate >= 1 and accumulate == int(accumulate):
        text += f"; set training.gradient_accumulation_steps={int(accumulate)}"
    return [text]


def _step_size(training: dict[str, Any], processes: int) -> int:
    """Return the number of examples of an optimizer step or, with `tokens_per_batch`, of its micro-batches on all processes.

    Steps of the same size have the same rows, for any number of micro-batches and processes (`batching.epoch_batches`).
    """
    micros: int = (training.get("gradient_accumulation_steps") or 1) * processes
    examples: int = training.get("examples_per_batch") or 1
    return micros * examples


def _describe_step(training: dict[str, Any], processes: int) -> str:
    examples, accumulate = training.get("examples_per_batch"), training.get("gradient_accumulation_steps") or 1
    split = (
        f"{accumulate} micro-batch{'es' if accumulate > 1 else ''} x {processes} process{'es' if processes > 1 else ''}"
    )
    size = _step_size(training, processes)
    return f"{size} examples ({examples} x {split})" if examples else f"{size} micro-batches ({split})"
