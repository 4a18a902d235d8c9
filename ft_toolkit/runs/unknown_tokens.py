"""`ftk data audit --unknown-tokens`: parts of the texts that the tokenizer of the model does not have."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.tokenizer_changes import unknown_token_id
from ft_toolkit.models.pretrained import find_tokenizer_folder, load_tokenizer
from ft_toolkit.recipe.sections import ModelSection

# Texts that are tokenized together, and parts that a case names.
_TEXTS, _SHOWN = 1000, 5


def find_unknown_tokens(section: ModelSection, rows: AuditedRows, report: Callable[[int, int], None]) -> list[Fault]:
    """Return the rows with parts that become the unknown token; nothing if there are none.

    `report` is called with the number of tokenized texts and their total. Raises ModelError for a tokenizer that cannot be
    loaded, and UsageError for one that does not give the characters of its tokens, or that is trained on the rows.
    """
    name = section.name or section.tokenizer
    if not isinstance(name, str):
        raise UsageError(
            "--unknown-tokens: the recipe trains a tokenizer on its rows, so all their characters are known; leave it out"
        )
    tokenizer = load_tokenizer(find_tokenizer_folder(name))
    if not tokenizer.is_fast:
        raise UsageError(f"--unknown-tokens requires a tokenizer.json, which {name} does not have; leave it out")
    unknown = unknown_token_id(tokenizer)
    if unknown is None:  # such as byte-level tokenizers
        return []
    cases = list(_cases(tokenizer, unknown, rows, report))
    fault = Fault(
        "unknown_tokens",
        "texts with characters that the tokenizer does not have",
        f"the model reads {tokenizer.unk_token} for these parts; replace the characters, or use a model for this language",
        cases,
    )
    return [fault] if cases else []


def _cases(tokenizer: Any, unknown: int, rows: AuditedRows, report: Callable[[int, int], None]) -> Iterator[Case]:
    """Yield the rows with unknown tokens, and the first different parts of each text that become them."""
    done, remaining = 0, rows.each_text()
    while part := list(islice(remaining, _TEXTS)):
        texts = [text for _, text in part]
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for (row, text), ids, offsets in zip(part, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if unknown in ids:
                unknown_parts = dict.fromkeys(
                    text[start:end] for i, (start, end) in zip(ids, offsets, strict=True) if i == unknown
                )
                more = f" and {len(unknown_parts) - _SHOWN} more" if len(unknown_parts) > _SHOWN else ""
                yield Case((row,), " ".join(list(unknown_parts)[:_SHOWN]) + more)
        done += len(texts)
        report(done, len(rows))
