"""Rows with a source text and a target text: reading them, and encoding them for each kind of checkpoint.

encoder-decoder    input_ids          prefix source </s>
                   decoder_input_ids  <start> target           the targets, shifted by one position
                   targets            target </s>              with language tokens: see `language_tokens`
decoder            input_ids          prompt with the source, target <end>
                   targets            -100 for the prompt, then target <end>
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.tasks.base import Features, Row, Rows
from ft_toolkit.tasks.text.cells import Printed, texts_of
from ft_toolkit.tasks.text.generation import Schema
from ft_toolkit.tasks.text.language_tokens import set_languages
from ft_toolkit.tasks.text.token_targets import IGNORED
from ft_toolkit.tasks.text.truncation import tokenize_and_cut


def check_texts(rows: Rows, column: str, where: str) -> None:
    """Raise DataError for a row whose source is not a text."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row[column], str):
            raise DataError(f"{where}: row {number}: column '{column}' must be text; found {row[column]!r}")


def read_targets(row: Row, target: str, where: str, printed: list[Printed]) -> list[str]:
    """Return the references of a row: its column `references`, else its target, which is a text or a list of texts.

    A list may be printed in a text; `printed` gets these lists. `where` names file and row. Raises DataError.
    """
    for name in ("references", target):
        value = texts_of(row.get(name), printed)
        if value is None:
            continue
        texts = list(value) if isinstance(value, (list, tuple)) else [value]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(f"{where}: column '{name}' must be a text or a list of texts; found {value!r}")
        own_target = row.get(target)
        if name == "references" and isinstance(own_target, str) and own_target.strip() and own_target not in texts:
            texts = [own_target, *texts]
        return texts
    raise DataError(f"{where}: column '{target}' is empty")


def references_of(row: Row, target: str) -> list[str]:
    """Return the references of a row of `read_rows`."""
    return list(row.get("references") or [row[target]])


# Characters of a text in messages.
_SHOWN = 80


@dataclass(frozen=True)
class Source:
    """A source, and the text directly before and after it, which is never cut."""

    text: str
    before: str
    after: str


def framed(texts: Sequence[str], schema: Schema) -> list[Source]:
    """Return the sources with the text of the schema around each of them."""
    return [Source(text, schema.before, schema.after) for text in texts]


def encode(
    sources: Sequence[Source], targets: Sequence[str] | None, tokenizer: Any, schema: Schema, max_length: int, unit: str
) -> Features:
    """Tokenize sources and, if given, targets; one feature per row.

    `max_length` limits the source and the text around it; only the source is cut, at its end. `unit` is the name in
    `answers_cut` of the target tokens beyond max_target_length. Raises UsageError when the model has too few positions, or
    when the text around a source has more than `max_length` tokens.
    """
    _check_positions(schema, max_length)
    if schema.language_token_id is not None:
        set_languages(tokenizer, schema.source_language, schema.target_language)
    is_decoder = schema.kind == "decoder"
    inputs, n_cut = (_prompts if is_decoder else _sources)(sources, tokenizer, schema, max_length)
    rows = list(range(len(sources)))
    if targets is None:
        return Features({"input_ids": inputs}, [None] * len(sources), rows, n_cut)
    full = target_ids(targets, tokenizer, schema)
    kept = [tokens[: schema.max_target_length] for tokens in full]
    n_after_end = int(
        schema.language_starts_decoder
    )  # the language token after the end token is not part of the answer
    answers_cut = {
        unit: [max(len(tokens) - n_after_end - len(part), 0) for tokens, part in zip(full, kept, strict=True)]
    }
    if is_decoder:
        joined = [[*prompt, *target] for prompt, target in zip(inputs, kept, strict=True)]
        labels = [[IGNORED] * len(prompt) + target for prompt, target in zip(inputs, kept, strict=True)]
        return Features({"input_ids": joined}, labels, rows, n_cut, answers_cut)
    assert schema.decoder_start_token_id is not None
    shifted = [[schema.decoder_start_token_id, *target[:-1]] for target in kept]
    return Features({"input_ids": inputs, "decoder_input_ids": shifted}, kept, rows, n_cut, answers_cut)


def _check_positions(schema: Schema, max_length: int) -> None:
    """Raise UsageError when source and target do not fit into the positions of the model."""
    n_target, limit = schema.max_target_length, schema.max_positions
    target_limit = limit if schema.max_target_positions is None else schema.max_target_positions
    is_decoder = schema.kind == "decoder"  # reads source and target as one text
    needs = [(n_target + max_length, limit)] if is_decoder else [(max_length, limit), (n_target, target_limit)]
    for needed, available in needs:
        if available is not None and needed > available:
            raise UsageError(
                f"data.max_length={max_length} and task.max_target_length={n_target} need {needed} positions; the model has "
                f"{available}. Reduce one of the two settings"
            )


def _tokenize(texts: Sequence[str], tokenizer: Any, **options: Any) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(list(texts), return_attention_mask=False, verbose=False, **options)
    return [list(ids) for ids in encoded["input_ids"]]


def _sources(
    sources: Sequence[Source], tokenizer: Any, schema: Schema, limit: int
) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of the sources for an encoder, at most `limit`, and the number of tokens cut from each.

    An encoder reads no text after a source.
    """
    inputs, n_cut = tokenize_and_cut(tokenizer, [source.before + source.text for source in sources], None, limit)
    shortened = [source for source, n in zip(sources, n_cut, strict=True) if n]
    prefixes = list(dict.fromkeys(source.before for source in shortened))
    n_around = dict(zip(prefixes, map(len, _tokenize(prefixes, tokenizer)), strict=True))
    for source in shortened:
        if n_around[source.before] > limit:
            raise _too_small(limit, source, n_around[source.before])
    return [ids or [schema.pad_token_id] for ids in inputs["input_ids"]], n_cut


def _too_small(limit: int, source: Source, n_around: int) -> UsageError:
    around = f"{source.before} {source.after}".strip()
    return UsageError(
        f"data.max_length={limit} is too small: the text around the part that can be cut has {n_around} tokens; it begins "
        f"{around[:_SHOWN]!r}"
    )


def _prompts(
    sources: Sequence[Source], tokenizer: Any, schema: Schema, limit: int
) -> tuple[list[list[int]], list[int]]:
    """Return the tokens of the prompts, at most `limit`, and the number of tokens cut from the end of each source."""
    if not tokenizer.is_fast:
        raise ModelError("decoders require a fast tokenizer (tokenizer.json), which gives the characters of each token")
    if not sources:
        return [], []
    texts = [source.before + source.text + source.after for source in sources]
    encoded = tokenizer(texts, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
    prompts: list[list[int]] = []
    n_cut: list[int] = []
    for source, ids, offsets in zip(sources, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        start, stop = len(source.before), len(source.before) + len(source.text)
        tokens = list(ids[:-1] if ids and ids[-1] == schema.eos_token_id else ids)  # the target follows: no end token
        excess = max(len(tokens) - limit, 0)
        if excess:
            in_source = [i for i, (a, b) in enumerate(offsets[: len(tokens)]) if start <= a < b <= stop]
            if excess > len(in_source):
                raise _too_small(limit, source, len(tokens) - len(in_source))
            dropped = set(in_source[len(in_source) - excess :])
            tokens = [token for i, token in enumerate(tokens) if i not in dropped]
        prompts.append(tokens or [schema.eos_token_id])
        n_cut.append(excess)
    return prompts, n_cut


def target_ids(targets: Sequence[str], tokenizer: Any, schema: Schema) -> list[list[int]]:
    """Return the tokens of targets with end token and language token, without the start token of the decoder."""
    if schema.kind == "decoder" or schema.language_token_id is not None:
        texts = [target.strip() for target in targets] if schema.kind == "decoder" else targets
        tokens = _tokenize(texts, tokenizer, add_special_tokens=False)
    else:
        encoded = tokenizer(text_target=list(targets), return_attention_mask=False, verbose=False) if targets else {}
        tokens = [list(ids) for ids in encoded.get("input_ids", [])]
        tokens = [ids[1:] if ids[:1] == [schema.decoder_start_token_id] else ids for ids in tokens]
    ended = [ids if ids[-1:] == [schema.eos_token_id] else [*ids, schema.eos_token_id] for ids in tokens]
    if schema.language_token_id is None:
        return ended
    language = [schema.language_token_id]
    return [[*ids, *language] if schema.language_starts_decoder else [*language, *ids] for ids in ended]
