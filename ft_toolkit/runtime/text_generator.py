"""Generate texts with the graphs of an exported model, without torch. Texts that are finished leave the batch."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.data.batches import evaluation_batches, pad_inputs
from ft_toolkit.runtime.decoder_graph import SOURCE, DecoderGraph, State
from ft_toolkit.runtime.search import Search, new_search
from ft_toolkit.runtime.session import GraphSession
from ft_toolkit.tasks.text.continuations import end_test, random_numbers
from ft_toolkit.tasks.text.prompts import left_padded

# Padded prompt tokens of a batch.
TOKENS_PER_BATCH = 4096
# Texts of a batch.
TEXTS_PER_BATCH = 16
# Takes the tokens so far of the first text. Returns whether to continue.
OnTokens = Callable[[list[int]], bool]


class _Watch:
    """Shows the tokens of one row of a batch, the row `row`; `is_stopped` becomes true when `on_tokens` returns False."""

    def __init__(self, on_tokens: OnTokens | None) -> None:
        self._on_tokens = on_tokens
        self.row: int | None = None
        self.is_stopped = False

    def show(self, search: Search) -> bool:
        """Show the row, and return whether to continue."""
        if self._on_tokens is not None and self.row is not None:
            self.is_stopped = not self._on_tokens(search.texts()[self.row])
        return not self.is_stopped


class TextGenerator:
    """The graphs of a model that generates texts."""

    def __init__(self, folder: Path, graph: ExportedGraph, decoder: DecoderGraph, tokenizer: Any) -> None:
        """Load the other graphs of a model folder. `decoder` is its open decoder. Raises ModelError."""
        assert graph.generation is not None, "a model that generates texts"
        self._settings, self._decoder, self._tokenizer = graph.generation, decoder, tokenizer
        self._encoder = None
        if self._settings.encoder is not None:
            self._encoder = GraphSession(folder, encoder_graph(graph))

    @property
    def stop_strings(self) -> list[str]:
        """The strings that end a text."""
        return self._settings.stop_strings

    def generate(self, prompts: Sequence[Sequence[int]], on_tokens: OnTokens | None = None) -> list[list[int]]:
        """Return the generated tokens, with the end token, for prompts of a decoder or sources of an encoder-decoder.

        Each prompt is there once per sample, the samples of a prompt one after the other. The tokens of the first text are
        passed to `on_tokens` after each step, and all texts end if it returns False. Beam search passes on nothing: its best
        text is known only at the end.
        """
        texts: list[list[int]] = [[] for _ in prompts]
        if not prompts:
            return texts
        settings = self._settings
        randoms = random_numbers(prompts, settings.num_return_sequences, settings.sampling_seed)
        lengths = [len(prompt) for prompt in prompts]
        batches = evaluation_batches(lengths, tokens_per_batch=TOKENS_PER_BATCH, world_size=1)[0]
        parts = [batch[i : i + TEXTS_PER_BATCH] for batch in batches for i in range(0, len(batch), TEXTS_PER_BATCH)]
        watch = _Watch(None if settings.num_beams > 1 else on_tokens)
        for numbers in sorted(parts, key=lambda part: 0 not in part):  # the text that is shown comes first
            watch.row = numbers.index(0) if 0 in numbers else None
            generated = self._generate([prompts[i] for i in numbers], [randoms[i] for i in numbers], watch)
            for i, tokens in zip(numbers, generated, strict=True):
                texts[i] = tokens
            if watch.is_stopped:
                break
        return texts

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        randoms: Sequence[random.Random],
        watch: "_Watch",
    ) -> list[list[int]]:
        settings, start = self._settings, self._settings.decoder_start_token_id
        is_finished = end_test(prompts, settings.eos_token_id, settings.stop_strings, self._tokenizer)
        contexts = prompts if start is None else [[start]] * len(prompts)
        search = new_search(settings, contexts, randoms, is_finished)
        if start is None:
            ids, mask = left_padded(prompts, settings.pad_token_id)
            state = self._decoder.start(mask)
        else:
            source, mask = self._encode(prompts)
            ids = np.full((len(prompts), 1), start, dtype=np.int64)
            state = self._decoder.start(mask, source)
        logits = self._step(state, ids, state.texts)
        while True:
            rows, tokens = search.advance(logits)
            if not watch.show(search) or not len(rows):
                return search.texts()
            self._select(state, rows)
            logits = self._step(state, tokens[:, None], rows)

    def _step(self, state: State, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the logits of the next token, shape (rows, vocabulary)."""
        return self._decoder.step(state, ids, rows, np.array([ids.shape[1] - 1]))[:, 0]

    def _encode(self, prompts: Sequence[Sequence[int]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the keys and values of the sources, and their attention mask."""
        assert self._encoder is not None, "an encoder-decoder"
        inputs = pad_inputs([{"input_ids": prompt} for prompt in prompts], self._settings.pad_token_id).inputs
        return self._encoder.run(inputs), inputs["attention_mask"]

    def _select(self, state: State, rows: np.ndarray) -> None:
        """Let the inputs of the next step be the inputs of these rows. The graph selects the rows of the cache."""
        texts = state.texts[rows]
        if not np.array_equal(texts, state.texts):
            state.source = {name: array[rows] for name, array in state.source.items()}
        state.texts = texts
        state.mask = state.mask[rows]
        if self._encoder is None:
            state.mask = np.concatenate([state.mask, np.ones((len(rows), 1), dtype=np.int64)], axis=1)


def encoder_graph(graph: ExportedGraph) -> ExportedGraph:
    """Return the facts about the encoder of an encoder-decoder."""
    assert graph.generation is not None
    assert graph.generation.encoder is not None
    sources = [name for name in graph.inputs if name.startswith(SOURCE)]
    return graph.model_copy(
        update={"file": graph.generation.encoder, "inputs": ["input_ids", "attention_mask"], "outputs": sources}
    )
