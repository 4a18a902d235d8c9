"""Generate texts with the graphs of an exported model, without torch.

A step computes the next tokens of all texts of a batch. The keys and values of earlier tokens are inputs and outputs of the
graph, so each token is computed once. Texts that are finished leave the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.export_records import ExportedGeneration, ExportedGraph
from ft_toolkit.data.batches import evaluation_batches, pad_inputs
from ft_toolkit.runtime.search import new_search
from ft_toolkit.runtime.session import GraphSession
from ft_toolkit.tasks.text.prompts import left_padded

# The names of the inputs and outputs: the cache of the decoder before and after a step, and the keys and values of the source.
PAST, PRESENT, SOURCE = "past_", "present_", "source_"
# For each row of a step, the row of the last step that it continues.
ROWS = "rows"
# Padded prompt tokens of a batch.
TOKENS_PER_BATCH = 4096
# Texts of a batch.
TEXTS_PER_BATCH = 16


@dataclass
class _State:
    """The inputs of the next step.

    past     the cache by the names of the inputs, values of onnxruntime of shape (rows, heads, tokens, head size)
    mask     the attention mask: of the source, or of the prompt and all tokens after it
    texts    the text of each row
    source   the keys and values of the source by name; empty for a decoder
    """

    past: dict[str, Any]
    mask: np.ndarray
    texts: np.ndarray
    source: dict[str, np.ndarray]


class TextGenerator:
    """The graphs of a model that generates texts."""

    def __init__(self, folder: Path, graph: ExportedGraph) -> None:
        """Load the graphs of a model folder. Raises ModelError."""
        assert graph.generation is not None, "a model that generates texts"
        self._settings: ExportedGeneration = graph.generation
        self._graph = graph
        self._decoder = GraphSession(folder, graph)
        self._past_names = [name for name in graph.inputs if name.startswith(PAST)]
        self._encoder = None
        if self._settings.encoder is not None:
            self._encoder = GraphSession(folder, encoder_graph(graph))

    def generate(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the generated tokens, with the end token, for prompts of a decoder or sources of an encoder-decoder."""
        texts: list[list[int]] = [[] for _ in prompts]
        if not prompts:
            return texts
        lengths = [len(prompt) for prompt in prompts]
        for batch in evaluation_batches(lengths, tokens_per_batch=TOKENS_PER_BATCH, world_size=1)[0]:
            for start in range(0, len(batch), TEXTS_PER_BATCH):
                numbers = batch[start : start + TEXTS_PER_BATCH]
                generated = self._generate([prompts[i] for i in numbers])
                for i, tokens in zip(numbers, generated, strict=True):
                    texts[i] = tokens
        return texts

    def stream(self, prompt: Sequence[int], on_tokens: Callable[[list[int]], bool]) -> list[int]:
        """Return the generated tokens of one prompt, and pass all tokens so far to `on_tokens` after each step.

        The generation ends early if it returns False. Beam search passes on nothing: its best text is known only at the end.
        """
        return self._generate([prompt], on_tokens if self._settings.num_beams == 1 else None)[0]

    def _generate(
        self, prompts: Sequence[Sequence[int]], on_tokens: Callable[[list[int]], bool] | None = None
    ) -> list[list[int]]:
        start = self._settings.decoder_start_token_id
        search = new_search(self._settings, prompts if start is None else [[start]] * len(prompts))
        if start is None:
            ids, mask = left_padded(prompts, self._settings.pad_token_id)
            source: dict[str, np.ndarray] = {}
        else:
            source, mask = self._encode(prompts)
            ids = np.full((len(prompts), 1), start, dtype=np.int64)
        numbers = np.arange(len(prompts))
        state = _State(self._no_past(len(prompts)), mask, numbers, source)
        logits = self._step(state, ids, numbers)
        while True:
            rows, tokens = search.advance(logits)
            if not len(rows) or (on_tokens is not None and not on_tokens(search.texts()[0])):
                return search.texts()
            self._select(state, rows)
            logits = self._step(state, tokens[:, None], rows)

    def _encode(self, prompts: Sequence[Sequence[int]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the keys and values of the sources, and their attention mask."""
        assert self._encoder is not None, "an encoder-decoder"
        inputs = pad_inputs([{"input_ids": prompt} for prompt in prompts], self._settings.pad_token_id).inputs
        return self._encoder.run(inputs), inputs["attention_mask"]

    def _no_past(self, n_rows: int) -> dict[str, Any]:
        """Return an empty cache."""
        shapes = self._decoder.input_shapes()
        return {
            name: self._decoder.value(np.zeros((n_rows, shapes[name][1], 0, shapes[name][3]), dtype=np.float32))
            for name in self._past_names
        }

    def _select(self, state: _State, rows: np.ndarray) -> None:
        """Let the inputs of the next step be the inputs of these rows. The graph selects the rows of the cache."""
        texts = state.texts[rows]
        if not np.array_equal(texts, state.texts):
            state.source = {name: array[rows] for name, array in state.source.items()}
        state.texts = texts
        state.mask = state.mask[rows]
        if self._encoder is None:
            state.mask = np.concatenate([state.mask, np.ones((len(rows), 1), dtype=np.int64)], axis=1)

    def _step(self, state: _State, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Compute one step, replace the cache in `state`, and return the logits of the next token, (rows, vocabulary)."""
        inputs: Mapping[str, np.ndarray] = {
            "input_ids": ids,
            "attention_mask": state.mask,
            "position_ids": np.maximum(state.mask.cumsum(1) - 1, 0)[:, -ids.shape[1] :],
            ROWS: rows.astype(np.int64),
            **state.source,
        }
        values = {
            name: state.past[name] if name in state.past else self._decoder.value(inputs[name])
            for name in self._graph.inputs
        }
        outputs = self._decoder.run_values(values)
        state.past = {name: outputs[PRESENT + name.removeprefix(PAST)] for name in self._past_names}
        return np.asarray(outputs["logits"].numpy())


def encoder_graph(graph: ExportedGraph) -> ExportedGraph:
    """Return the facts about the encoder of an encoder-decoder."""
    assert graph.generation is not None
    assert graph.generation.encoder is not None
    sources = [name for name in graph.inputs if name.startswith(SOURCE)]
    return graph.model_copy(
        update={"file": graph.generation.encoder, "inputs": ["input_ids", "attention_mask"], "outputs": sources}
    )
