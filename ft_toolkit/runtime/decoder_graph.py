"""The graph of a decoder with a cache, without torch.

A step computes the next tokens of all texts of a batch. The keys and values of earlier tokens are outputs of one step and
inputs of the next one, so each token is computed once. They stay values of onnxruntime, which are not copied.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.runtime.session import GraphSession

# The names of the inputs and outputs: the cache of the decoder before and after a step, and the keys and values of the source.
PAST, PRESENT, SOURCE = "past_", "present_", "source_"
# For each row of a step, the row of the last step that it continues.
ROWS = "rows"
# The positions of the step, from 0, whose logits are computed.
KEPT = "kept"


@dataclass
class State:
    """The inputs of the next step, which `DecoderGraph.step` changes.

    past     the cache by the names of the inputs, values of onnxruntime of shape (rows, heads, tokens, head size)
    mask     the attention mask: of the source, or of all tokens of the texts up to the next step and with it
    texts    the text of each row
    source   the keys and values of the source by name; empty for a decoder
    """

    past: dict[str, Any]
    mask: np.ndarray
    texts: np.ndarray
    source: dict[str, np.ndarray]


class DecoderGraph:
    """An open decoder."""

    def __init__(self, folder: Path, graph: ExportedGraph) -> None:
        """Load the graph of a model folder. Raises ModelError."""
        self._graph = graph
        self._session = GraphSession(folder, graph)
        self._shapes = {name: shape for name, shape in self._session.input_shapes().items() if name.startswith(PAST)}

    def start(self, mask: np.ndarray, source: dict[str, np.ndarray] | None = None) -> State:
        """Return the state before the first step of `mask.shape[0]` texts."""
        n_rows = len(mask)
        past = {
            name: self._session.value(np.zeros((n_rows, shape[1], 0, shape[3]), dtype=np.float32))
            for name, shape in self._shapes.items()
        }
        return State(past, mask, np.arange(n_rows), source or {})

    def step(self, state: State, ids: np.ndarray, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Compute the tokens `ids`, shape (rows, tokens), replace the cache in `state`, and return logits.

        `rows` are the rows of the last step that the rows continue, and `kept` the positions in `ids` whose logits are
        returned, shape (rows, kept, vocabulary).
        """
        inputs = {
            "input_ids": ids,
            "attention_mask": state.mask,
            "position_ids": np.maximum(state.mask.cumsum(1) - 1, 0)[:, -ids.shape[1] :],
            ROWS: rows.astype(np.int64),
            KEPT: kept.astype(np.int64),
            **state.source,
        }
        values = {
            name: state.past[name] if name in state.past else self._session.value(inputs[name])
            for name in self._graph.inputs
        }
        outputs = self._session.run_values(values)
        state.past = {name: outputs[PRESENT + name.removeprefix(PAST)] for name in state.past}
        return np.asarray(outputs["logits"].numpy())


def is_decoder_graph(graph: ExportedGraph) -> bool:
    """Return whether a graph is a decoder with a cache."""
    return any(name.startswith(PAST) for name in graph.inputs)
