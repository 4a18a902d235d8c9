"""Predict with an exported model: onnxruntime, tokenizers and numpy, without torch and transformers."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ft_toolkit.runtime.exported_model import ExportedModel


def load(path: str | os.PathLike[str]) -> "ExportedModel":
    """Load a model that `ftk export --format onnx` or `onnx-int8` wrote.

    `path` is the folder of the export, or its model folder. Raises ModelError, or RunFolderError for a damaged folder.

        model = ft_toolkit.runtime.load("exports/demo")
        model("Where is my parcel?")  # a dict
    """
    from ft_toolkit.runtime.exported_model import ExportedModel  # on first use, as in the rest of the public API

    return ExportedModel(os.fspath(path))
