"""Notes on texts that change before they reach the model, or that the model cannot generate."""

from collections.abc import Sequence
from typing import Any

from ft_toolkit.tasks.text.generation import Schema
from ft_toolkit.tasks.text.source_target import target_ids

# Number of targets that are encoded and decoded to find changes by the tokenizer.
_CHECKED_TARGETS = 200
_SHOWN_CHARACTERS = 60


def source_notes(sources: Sequence[str], schema: Schema) -> list[str]:
    """Return notes on sources that begin or end with the text that the toolkit puts around every source."""
    setting = "prompt" if schema.kind == "decoder" else "prefix"
    before, after = schema.before.strip(), schema.after.strip()
    n_before = sum(text.strip().casefold().startswith(before.casefold()) for text in sources) if before else 0
    n_after = sum(text.strip().casefold().endswith(after.casefold()) for text in sources) if after else 0
    remedy = f"set task.{setting} to a text without it" if setting == "prompt" else 'set task.prefix=""'
    return [
        f"{n} of {len(sources)} texts {verb} {text!r} already, and task.{setting} adds it again; remove it from the texts, or "
        f"{remedy}"
        for n, verb, text in ((n_before, "begin with", before), (n_after, "end with", after))
        if n
    ]


def target_notes(targets: Sequence[str], tokenizer: Any, schema: Schema) -> list[str]:
    """Return a note on targets that the tokenizer changes, apart from white space: case, accents, unknown characters."""
    checked = targets[:_CHECKED_TARGETS]
    decoded = tokenizer.batch_decode(target_ids(checked, tokenizer, schema), skip_special_tokens=True)
    changed = [
        (before, after) for before, after in zip(checked, decoded, strict=True) if _dense(before) != _dense(after)
    ]
    if not changed:
        return []
    before, after = (text.strip()[:_SHOWN_CHARACTERS] for text in changed[0])
    return [
        f"the tokenizer changes {len(changed)} of the first {len(checked)} targets, so the model cannot generate them as they "
        f"are: {before!r} becomes {after!r}"
    ]


def _dense(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())
