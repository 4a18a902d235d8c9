"""Run the graph of an exported model with onnxruntime."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph

INSTALL = "pip install 'ft-toolkit[runtime]'"
# Errors only: onnxruntime warns about initializers that its own optimizer removes.
_LOG_LEVEL = 3


class GraphSession:
    """An open graph. `run` computes its outputs."""

    def __init__(self, folder: Path, graph: ExportedGraph) -> None:
        """Load the graph of a model folder. Raises ModelError."""
        try:
            onnxruntime: Any = import_module("onnxruntime")
        except ImportError:
            raise ModelError(f"{folder}: an exported model requires onnxruntime; install it with: {INSTALL}") from None
        path = folder / graph.file
        if not path.is_file():
            raise ModelError(f"{path}: the graph is missing; export the model again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = _LOG_LEVEL
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except (RuntimeError, ValueError) as error:  # the base classes of onnxruntime's errors
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path}: the graph cannot be loaded: {reason}. Export the model again") from None
        self._graph = graph

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name, float32, for padded inputs of shape (texts, tokens)."""
        feed = {name: inputs[name] for name in self._graph.inputs}
        return dict(zip(self._graph.outputs, self._session.run(self._graph.outputs, feed), strict=True))


def threads() -> int:
    """Return the number of threads of a graph: OMP_NUM_THREADS as in torch, else the cores of this process."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
