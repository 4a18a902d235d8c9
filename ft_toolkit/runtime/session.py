"""Run the graph of an exported model with onnxruntime."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.data.batches import evaluation_batches, pad_inputs
from ft_toolkit.tasks.base import Features, Graph

# Padded tokens of a batch.
TOKENS_PER_BATCH = 256
INSTALL = "pip install 'ft-toolkit[runtime]'"
# Fatal errors only: other errors are raised, and onnxruntime warns about initializers that its own optimizer removes.
_LOG_LEVEL = 4
# The errors of onnxruntime for a graph that is damaged or has unknown operators, and for inputs that it does not accept.
_ERRORS = (
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


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
        self._path, self._graph, self._new_value = path, graph, onnxruntime.OrtValue.ortvalue_from_numpy
        state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        self._errors: tuple[type[Exception], ...] = tuple(getattr(state, name) for name in _ERRORS)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise self._error("loaded", error) from None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name, float32, for padded inputs of shape (texts, tokens). Raises ModelError."""
        feed = {name: inputs[name] for name in self._graph.inputs}
        try:
            return dict(zip(self._graph.outputs, self._session.run(self._graph.outputs, feed), strict=True))
        except self._errors as error:
            raise self._error("run", error) from None

    def value(self, array: np.ndarray) -> Any:
        """Return an array as a value for `run_values`, without a copy."""
        return self._new_value(np.ascontiguousarray(array))

    def input_shapes(self) -> dict[str, list[Any]]:
        """Return the shape of each input: an int for a fixed axis, otherwise its name."""
        return {each.name: list(each.shape) for each in self._session.get_inputs()}

    def run_values(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by name as values of onnxruntime, which can be inputs again without a copy. Raises ModelError."""
        try:
            outputs = self._session.run_with_ort_values(self._graph.outputs, dict(inputs))
        except self._errors as error:
            raise self._error("run", error) from None
        return dict(zip(self._graph.outputs, outputs, strict=True))

    def _error(self, verb: str, error: Exception) -> ModelError:
        return ModelError(
            f"{self._path}: the graph cannot be {verb}: {str(error).splitlines()[0]}. Export the model again"
        )


def compute_values(
    session: GraphSession, features: Features, graph: Graph, schema: Any, pad_token_id: int
) -> list[Any]:
    """Return one value of `graph` per feature, in order, from batches of features of similar length."""
    values: list[Any] = [None] * len(features.example_ids)
    if not values:
        return values
    for ids in evaluation_batches(features.lengths, tokens_per_batch=TOKENS_PER_BATCH, world_size=1)[0]:
        padded = pad_inputs([{name: each[i] for name, each in features.inputs.items()} for i in ids], pad_token_id)
        batch = graph.values(session.run(padded.inputs), [features.lengths[i] for i in ids], schema)
        for i, value in zip(ids, batch, strict=True):
            values[i] = value
    return values


def threads() -> int:
    """Return the number of threads of a graph: OMP_NUM_THREADS as in torch, else the cores of this process."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
