"""Replace the output layer of a checkpoint whose labels differ from the labels of the task.

transformers loads a head of the right size without a warning even if its outputs have another meaning. The training would then
start with the weights of other labels.
"""

import copy
import re
from typing import Any

import torch
import transformers

from ft_toolkit.core.errors import one_of
from ft_toolkit.tasks.base import DefinedLabels

# The names that transformers gives to outputs without names.
_UNNAMED = re.compile("LABEL_[0-9]+")


def has_other_labels(raw: Any, labels: dict[int, str], defined: DefinedLabels | None) -> bool:
    """Return whether a checkpoint's head of the right size has other labels than the task.

    `raw` is the checkpoint's config, `labels` the task's id2label. Outputs without names (LABEL_0 ...) fit labels that are
    their numbers, and labels whose order something defines. The output of a regression fits any other.
    """
    saved = {int(index): str(label) for index, label in (raw.id2label or {}).items()}
    if len(saved) != len(labels) or len(saved) < 2:
        return False
    if all(_UNNAMED.fullmatch(label) for label in saved.values()):
        are_positions = all(str(index) == label or label == saved[index] for index, label in labels.items())
        return defined is None and not are_positions
    return set(saved.values()) != set(labels.values())


def head_note(title: str, raw: Any, labels: dict[int, str]) -> str | None:
    """Return a note if the head of the checkpoint `title` has named labels that differ from the task's, otherwise None."""
    saved = [str(label) for _, label in sorted((raw.id2label or {}).items())]
    if len(saved) < 2 or len(labels) < 2 or all(_UNNAMED.fullmatch(label) for label in saved):
        return None
    if set(saved) == set(labels.values()):
        return None
    return (
        f"model {title}: its head has the labels {one_of(saved)}, the rows have {one_of(labels.values())}; a new output layer "
        "replaces it. To keep the head, use its labels in the rows or, for numbers, in task.labels"
    )


def renew_output_layer(model: Any, auto_class: str, config: Any, seed: int) -> list[str]:
    """Initialize the output layer of a model again, as in a new head, and return the names of its weights."""
    weights = _output_weights(auto_class, config)
    torch.manual_seed(seed)
    for name in sorted({weight.rpartition(".")[0] for weight in weights}):
        module = model.get_submodule(name)
        for parameter in module.parameters(recurse=False):
            parameter._is_hf_initialized = False  # transformers 5 skips weights that it has loaded
        module._is_hf_initialized = False
        model._init_weights(module)
    return weights


def _output_weights(auto_class: str, config: Any) -> list[str]:
    """Return the names of the weights whose shapes depend on the number of labels."""
    larger = copy.deepcopy(config)
    larger.num_labels = config.num_labels + 1
    shapes = []
    for each in (config, larger):
        with torch.device("meta"):
            model = getattr(transformers, auto_class).from_config(each, trust_remote_code=False)
        shapes.append({name: weight.shape for name, weight in model.named_parameters()})
    return [name for name, shape in shapes[0].items() if shapes[1].get(name) != shape]
