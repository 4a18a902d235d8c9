"""Save a tokenizer without the settings of its last call."""

from pathlib import Path
from typing import Any


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the files of a tokenizer.

    A fast tokenizer keeps the maximum length of its last call, and would write it to tokenizer.json. Every program that reads
    this file with the library tokenizers would then cut texts, without a message.
    """
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
