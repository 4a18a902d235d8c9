"""A tokenizer without transformers: tokenizer.json with the calls that tasks make.

The keyword arguments have the names and the meaning of transformers. Both use the library `tokenizers`, so the token ids are
equal.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.core.json_records import read_object
from ft_toolkit.runtime.chat_template import render_template

TOKENIZER = "tokenizer.json"
_BEFORE_PUNCTUATION = re.compile(r" (?=[.?!,])")
_BEFORE_CONTRACTION = re.compile(r" (?=n't|'m|'s|'ve|'re)")


class Encodings(dict[str, Any]):
    """The encoded texts by name: a list per text, or a single list for a single text."""

    def __init__(self, values: dict[str, Any], encodings: Sequence[Any]) -> None:
        """`encodings` has, per text, the `tokenizers.Encoding`."""
        super().__init__(values)
        self.encodings = encodings

    def sequence_ids(self, number: int = 0) -> list[int | None]:
        """Return the sequence of each token of a text: 0 or 1, and None for special tokens."""
        return list(self.encodings[number].sequence_ids)


class RuntimeTokenizer:
    """The tokenizer of an exported model. Padding and truncation are on the right."""

    is_fast = True

    def __init__(self, folder: Path, graph: ExportedGraph) -> None:
        """Load tokenizer.json of a model folder. Raises RunFolderError."""
        from tokenizers import Tokenizer

        content = read_object(folder / TOKENIZER)
        self.backend_tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self._has_token_types = graph.has_token_types
        self._cleans_up_spaces = graph.generation is not None and graph.generation.clean_up_tokenization_spaces
        tokens = graph.special_tokens
        self.chat_template = graph.chat_template
        self._special = {f"{role}_token": token for role, token in tokens.model_dump().items() if token is not None}
        self.unk_token = tokens.unk
        self.pad_token_id = self._id(tokens.pad)
        self.unk_token_id, self.bos_token_id, self.eos_token_id, self.cls_token_id, self.sep_token_id = (
            self._id(token) for token in (tokens.unk, tokens.bos, tokens.eos, tokens.cls, tokens.sep)
        )

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self.backend_tokenizer.token_to_id(token)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
        return_attention_mask: bool = True,
        return_token_type_ids: bool | None = None,
        return_offsets_mapping: bool = False,
        return_special_tokens_mask: bool = False,
        return_overflowing_tokens: bool = False,
        text_target: str | Sequence[str] | None = None,
        verbose: bool = True,
    ) -> Encodings:
        """Return the token ids of one text or of several texts, and the further lists that were asked for.

        With `return_overflowing_tokens`, the tokens after max_length follow as further windows of the text, and
        `overflow_to_sample_mapping` has the number of the text of each window.

        Targets (`text_target`) are encoded like texts. The export refuses a tokenizer that encodes them in another way.
        """
        if text is None:
            assert text_target is not None, "text or text_target"
            text = text_target
        is_single = isinstance(text, str)
        texts, pairs = ([text], [text_pair]) if is_single else (list(text), text_pair)
        inputs: list[Any] = texts if text_pair is None else list(zip(texts, pairs or [], strict=True))
        if truncation and max_length is not None:
            self.backend_tokenizer.enable_truncation(max_length)
        try:
            encoded = self.backend_tokenizer.encode_batch(inputs, add_special_tokens=add_special_tokens)
        finally:
            self.backend_tokenizer.no_truncation()
        owners = list(range(len(encoded)))
        if return_overflowing_tokens:
            assert not is_single, "several texts"
            owners = [i for i, each in enumerate(encoded) for _ in range(1 + len(each.overflowing))]
            encoded = [window for each in encoded for window in (each, *each.overflowing)]
        values: dict[str, list[Any]] = {"input_ids": [each.ids for each in encoded]}
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = owners
        if self._has_token_types if return_token_type_ids is None else return_token_type_ids:
            values["token_type_ids"] = [each.type_ids for each in encoded]
        if return_attention_mask:
            values["attention_mask"] = [each.attention_mask for each in encoded]
        if return_special_tokens_mask:
            values["special_tokens_mask"] = [each.special_tokens_mask for each in encoded]
        if return_offsets_mapping:
            values["offset_mapping"] = [each.offsets for each in encoded]
        flat = {name: lists[0] if is_single else lists for name, lists in values.items()}
        return Encodings(flat, encoded)

    def batch_decode(
        self,
        sequences: Iterable[Sequence[int]],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the texts of token ids. `clean_up_tokenization_spaces` None uses the setting of the checkpoint."""
        texts = [self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens) for ids in sequences]
        cleans_up = self._cleans_up_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return [_without_spaces(text) for text in texts] if cleans_up else texts

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids with special tokens."""
        return self.batch_decode([ids])[0]

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens by id, each with `content` and `special`."""
        return dict(self.backend_tokenizer.get_added_tokens_decoder())

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that have a role."""
        return list(dict.fromkeys(self._special.values()))

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        """Return the text of a dialogue. Raises ModelError for a template that refuses it."""
        assert not tokenize, "the text only"
        assert self.chat_template is not None, "a tokenizer of a dialogue"
        turns = [dict(message) for message in messages]
        return render_template(self.chat_template, turns, self._special, opens_answer=add_generation_prompt)


def _without_spaces(text: str) -> str:
    """Return a text without the spaces that word pieces leave before punctuation and English contractions."""
    return _BEFORE_CONTRACTION.sub("", _BEFORE_PUNCTUATION.sub("", text).replace(" ' ", "'"))
